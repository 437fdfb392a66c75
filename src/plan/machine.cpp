#include "mercer/plan/machine.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <functional>
#include <sstream>
#include <utility>
#include <vector>

#include "mercer/base/file.hpp"
#include "mercer/base/random.hpp"
#include "mercer/base/text.hpp"
#include "mercer/base/timer.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/gram/assemble.hpp"
#include "mercer/gram/kernel_operator.hpp"

namespace mercer::plan {
namespace {

using blas::Trans;

/// Seconds of `body` on the slowest rank, all ranks starting together. Collective.
double seconds(const comm::Communicator& comm, const std::function<void()>& body) {
  comm.barrier();
  const Timer timer;
  body();
  return comm.all_reduce(timer.seconds(), comm::Op::max);
}

/// The least of the slowest rank's seconds over a few runs of `body`, after one to warm up: other
/// jobs on a shared machine only add to it. Collective.
double least(const comm::Communicator& comm, const std::function<void()>& body, int runs = 5) {
  body();
  std::vector<double> times;
  for (int r = 0; r < runs; ++r) times.push_back(seconds(comm, body));
  return std::max(*std::ranges::min_element(times), 1e-9);
}

template <class T>
double gemm_rate(const comm::Communicator& comm) {
  constexpr Index m = 1024;
  const Matrix<T> A(m, m, T(1)), B(m, m, T(1));
  Matrix<T> C(m, m);
  const double t =
      least(comm, [&] { blas::gemm<T>(Trans::no, Trans::no, 1, A.view(), B.view(), 0, C.view()); });
  return 2.0 * m * m * m / t;
}

/// The rate of ?gemm of tiles with 64 columns, more tiles than a cache holds: as in the
/// orthogonalisation of blocks of vectors.
template <class T>
double skinny_rate(const comm::Communicator& comm) {
  constexpr Index m = 512, count = 16, b = 64;
  const Matrix<T> A(m, m * count, T(1)), V(m, b, T(1));
  Matrix<T> Y(m, b, T(0)), Z(m, b, T(0));
  const double t = least(comm, [&] {
    for (Index i = 0; i < count; ++i) {
      const auto tile = A.view().block(0, i * m, m, m);
      blas::gemm<T>(Trans::no, Trans::no, 1, tile, V.view(), 1, Y.view());
      blas::gemm<T>(Trans::yes, Trans::no, 1, tile, V.view(), 1, Z.view());
    }
  });
  return 4.0 * m * m * count * b / t;
}

/// Seconds of an entry in products of the operator with 64 and with 8 columns. Every rank has a
/// matrix of its own, so that no messages are measured.
std::pair<double, double> product_seconds(const comm::Communicator& comm, gram::Storage storage) {
  constexpr Index n = 4032, d = 8;
  const comm::Communicator alone(MPI_COMM_SELF);
  const dist::ProcessGrid grid(alone, {1, 1});
  dist::RowBlock<double> X(alone, n, d);
  const Random random(0, Stream::probe);
  for (std::size_t i = 0; i < X.values().size(); ++i) X.values()[i] = random.uniform(i);
  kernel::Options linear;
  linear.kind = kernel::Kind::linear;
  const auto kernel = kernel::make(linear);
  const gram::KernelOperator K(*kernel, X, grid,
                               {.storage = storage, .memory_bytes = 1e9, .block = 64});
  const Matrix<double> V(n, 64, 1.0);
  Matrix<double> Y(n, 64);
  const auto entry = [&](Index b) {
    const double t = least(
        comm, [&] { K.apply(V.view().block(0, 0, n, b), Y.view().block(0, 0, n, b)); }, 3);
    return t / (0.5 * n * n);
  };
  const double wide = entry(64);
  return {wide, entry(8)};
}

double copy_rate(const comm::Communicator& comm) {
  constexpr Index size = Index{4} << 20;  // 32 MiB of doubles, twice
  const Matrix<double> from(size, 1, 1.0);
  Matrix<double> to(size, 1, 0.0);
  const double t = least(comm, [&] { std::copy_n(from.data(), size, to.data()); });
  return 16.0 * size / t;
}

/// Bytes a second of memory that a process touches first, whose pages the system clears.
double touch_rate(const comm::Communicator& comm) {
  constexpr Index size = Index{8} << 20;  // 64 MiB, more than the allocator keeps
  const double t = least(
      comm,
      [&] {
        Matrix<double> fresh(size, 1);
        for (Index i = 0; i < size; i += 512) fresh.data()[i] = 1;
      },
      3);
  return 8.0 * size / t;
}

/// Seconds of one message of `count` doubles between ranks r and r + P/2, all pairs at once.
double message_seconds(const comm::Communicator& comm, int count, int round_trips) {
  const int half = comm.size() / 2, r = comm.rank();
  const int other = r < half ? r + half : r < 2 * half ? r - half : MPI_PROC_NULL;
  std::vector<double> send(static_cast<std::size_t>(count), 1.0), receive(send);
  const double t = least(
      comm,
      [&] {
        for (int i = 0; i < round_trips; ++i) {
          const auto give = [&] {
            MPI_Send(send.data(), count, MPI_DOUBLE, other, 0, comm.handle());
          };
          const auto take = [&] {
            MPI_Recv(receive.data(), count, MPI_DOUBLE, other, 0, comm.handle(), MPI_STATUS_IGNORE);
          };
          if (r < half)
            give(), take();
          else
            take(), give();
        }
      },
      3);
  return t / (2.0 * round_trips);
}

void measure_messages(const comm::Communicator& comm, Machine& machine) {
  if (comm.size() == 1) return;  // sends nothing
  machine.latency = message_seconds(comm, 1, 100);
  constexpr int large = 1 << 18;  // 2 MiB
  machine.bandwidth = 8.0 * large / message_seconds(comm, large, 2);
  const auto ranks = static_cast<std::size_t>(comm.size());
  const Index each = ceil_div(large, comm.size());
  std::vector<Index> counts(ranks, each);
  counts[static_cast<std::size_t>(comm.rank())] = 0;
  const std::vector<double> send(ranks * static_cast<std::size_t>(each), 1.0);
  std::vector<double> receive(send);
  const std::span<const double> sent(send.data(), (ranks - 1) * static_cast<std::size_t>(each));
  const double t = least(comm, [&] {
    comm.all_to_all<double>(sent, counts, {receive.data(), sent.size()}, counts);
  });
  machine.exchange = 8.0 * static_cast<double>(sent.size()) / t;
}

constexpr std::pair<const char*, double Machine::*> kNumbers[] = {
    {"gemm", &Machine::gemm},
    {"gemm_single", &Machine::gemm_single},
    {"skinny", &Machine::skinny},
    {"skinny_single", &Machine::skinny_single},
    {"product", &Machine::product},
    {"narrow", &Machine::narrow},
    {"convert", &Machine::convert},
    {"memory", &Machine::memory},
    {"touch", &Machine::touch},
    {"latency", &Machine::latency},
    {"bandwidth", &Machine::bandwidth},
    {"exchange", &Machine::exchange},
    {"gram", &Machine::gram},
    {"element", &Machine::element},
    {"row", &Machine::row}};

}  // namespace

double Machine::column_seconds() const {
  return std::max(1 / gemm, (4 * 64 / product - 4 * 8 / narrow) / (64 - 8));
}

double Machine::pass_seconds(bool kept_in_single) const {
  return std::max(0.0, 4 * 64 / product - 64 * column_seconds()) + (kept_in_single ? convert : 0);
}

double Machine::seconds(const Cost& c) const {
  return c.gemm / gemm + c.gemm_single / gemm_single + c.skinny / skinny +
         c.skinny_single / skinny_single + c.dots / gram + c.entries * element + c.prepared * row +
         c.columns * column_seconds() + c.passes * pass_seconds(false) + c.converted * convert +
         c.copied / memory + c.touched / touch + (c.sent + (network ? c.network : 0)) / exchange +
         c.summed / bandwidth + c.messages * latency;
}

Machine Machine::with_network(double seconds, double bytes_per_second) const {
  Machine there = *this;
  there.network = true;
  there.latency = seconds;
  there.bandwidth = there.exchange = bytes_per_second;
  return there;
}

namespace {

/// Seconds in the unit that fits: from nanoseconds to milliseconds and more.
std::string short_time(double seconds) {
  if (seconds < 1e-6) return fmt::format("{:.2f} ns", 1e9 * seconds);
  if (seconds < 1e-3) return fmt::format("{:.2f} us", 1e6 * seconds);
  return fmt::format("{:.2f} ms", 1e3 * seconds);
}

}  // namespace

std::string Machine::text() const {
  return fmt::format(
      "a rank: dgemm {:.1f}, sgemm {:.1f}, dgemm with 64 columns {:.1f}, K times 64 columns "
      "{:.1f}, times 8 {:.1f} GFLOP/s; memory {:.1f} GB/s, touched first {:.1f}; messages {:.2g} "
      "us, {:.2g} GB/s, all to all {:.2g} GB/s\n        "
      "an entry of the kernel: {} besides its dot product at {:.1f} GFLOP/s; {}",
      1e-9 * gemm, 1e-9 * gemm_single, 1e-9 * skinny, 1e-9 * product, 1e-9 * narrow, 1e-9 * memory,
      1e-9 * touch, 1e6 * latency, 1e-9 * bandwidth, 1e-9 * exchange, short_time(element),
      1e-9 * gram, source);
}

nlohmann::ordered_json Machine::json() const {
  nlohmann::ordered_json object{{"ranks", ranks}, {"nodes", nodes}, {"kernel", kernel}};
  for (const auto& [name, member] : kNumbers) object[name] = this->*member;
  return object;
}

namespace {

/// Gaussian rows as columns, others for each `part`. Local.
Matrix<double> gaussian_rows(Index d, Index rows, std::uint32_t part) {
  Matrix<double> X(d, rows);
  const Random random(0, Stream::probe, part);
  for (Index i = 0; i < X.size(); ++i) X.data()[i] = random.normal(static_cast<std::uint64_t>(i));
  return X;
}

/// Whether an entry takes about a second or more.
bool slow(const kernel::Kernel& kernel) {
  return kernel.steps_per_entry() > 1e8;
}

/// Seconds of a tile m x m of rows that all differ. Of a cheap kernel the least of a few runs; of a
/// costly one, which takes all of an assembly, the median, over `tiles` tiles in turn: as there,
/// rows come from memory, and other jobs of the machine take their part. One run where an entry
/// takes about a second. Collective.
double tile_seconds(const comm::Communicator& comm, const kernel::Kernel& kernel,
                    const kernel::Rows& x, const kernel::Rows& z, Index m, Index tiles) {
  Matrix<double> out(m, m);
  const auto tile = [&](Index t) { kernel.tile(x, t * m, z, t * m, out.view()); };
  if (slow(kernel)) return seconds(comm, [&] { tile(0); });
  if (tiles == 1) return least(comm, [&] { tile(0); });
  std::vector<double> times;
  for (Index run = 0; run < 2 * tiles; ++run)
    times.push_back(seconds(comm, [&] { tile(run % tiles); }));
  std::ranges::nth_element(times, times.begin() + tiles);
  return std::max(times[static_cast<std::size_t>(tiles)], 1e-9);
}

}  // namespace

void measure_entries(const comm::Communicator& comm, const kernel::Kernel& kernel, Index d,
                     Machine& machine) {
  // A tile as large as in assemble(), where the rows fit in 32 MiB, of rows that all differ.
  const Index tiles = gram::by_tiles(kernel, {}) && !slow(kernel) ? 3 : 1;
  constexpr double memory = 32.0 * 1024 * 1024;
  const auto kept =
      static_cast<double>(tiles) * static_cast<double>(std::max<Index>(1, kernel.bytes_per_row(d)));
  // An entry may take a second.
  const auto affordable = static_cast<Index>(std::sqrt(2e7 / kernel.steps_per_entry()));
  const Index m = std::max<Index>(
      1, std::min(affordable, std::clamp<Index>(static_cast<Index>(memory / kept), 8, 512)));
  const auto [gram, tile, prepare] = [&] {
    const Matrix<double> A = gaussian_rows(d, m, 0);
    Matrix<double> out(m, m);
    const double dots = least(comm, [&] {
      blas::gemm<double>(Trans::yes, Trans::no, 1, A.view(), A.view(), 0, out.view());
    });
    const auto x =
        comm::together(comm, [&] { return kernel.prepare(gaussian_rows(d, tiles * m, 1)); });
    Matrix<double> again = gaussian_rows(d, tiles * m, 2);
    const Timer timer;
    const auto z = comm::together(comm, [&] { return kernel.prepare(std::move(again)); });
    const double preparing = comm.all_reduce(timer.seconds(), comm::Op::max);
    return std::array{dots, tile_seconds(comm, kernel, *x, *z, m, tiles), preparing};
  }();
  const auto M = static_cast<double>(m), D = static_cast<double>(d);
  machine.kernel = kernel.text();
  machine.gram = 2 * M * M * D / gram;
  machine.element = std::max(tile - gram, 1e-3 * tile) / (M * M);
  machine.row = prepare / (M * static_cast<double>(tiles));
}

namespace {

Machine measure_once(const comm::Communicator& comm, const kernel::Kernel* kernel, Index d) {
  Machine machine;
  machine.gemm = gemm_rate<double>(comm);
  machine.gemm_single = gemm_rate<float>(comm);
  machine.skinny = skinny_rate<double>(comm);
  machine.skinny_single = skinny_rate<float>(comm);
  const auto [wide, narrow] = product_seconds(comm, gram::Storage::in_double);
  machine.product = 4 * 64 / wide;
  machine.narrow = 4 * 8 / narrow;
  machine.convert =
      std::max(1e-12, product_seconds(comm, gram::Storage::in_single).second - narrow);
  machine.memory = copy_rate(comm);
  machine.touch = touch_rate(comm);
  measure_messages(comm, machine);
  if (kernel != nullptr && d > 0) measure_entries(comm, *kernel, d, machine);
  return machine;
}

constexpr double Machine::*kTimes[] = {&Machine::convert, &Machine::latency, &Machine::element,
                                       &Machine::row};

}  // namespace

Machine measure_machine(const comm::Communicator& comm, const kernel::Kernel* kernel, Index d) {
  Machine machine = measure_once(comm, kernel, d);
  const Machine again = measure_once(comm, kernel, d);
  for (const auto& [name, member] : kNumbers) {
    const bool time = std::ranges::find(kTimes, member) != std::end(kTimes);
    machine.*member =
        time ? std::min(machine.*member, again.*member) : std::max(machine.*member, again.*member);
  }
  machine.ranks = comm.size();
  machine.nodes = comm::node_count(comm);
  machine.source = fmt::format("measured on {}", counted(comm.size(), "rank"));
  return machine;
}

Machine read_machine(const comm::Communicator& comm, const std::string& path) {
  using Json = nlohmann::ordered_json;
  return comm::together(comm, [&] {
    require_file(path, "`machine` " + path);
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    const Json whole = Json::parse(text.str(), nullptr, false);
    const Json::json_pointer inside("/result/machine");
    if (whole.is_discarded() || !whole.is_object())
      throw InputError("`machine` {}: is no JSON object, as mercer-bench plan writes it", path);
    const Json& object = whole.contains(inside) ? whole[inside] : whole;
    Machine machine;
    machine.source = path;
    for (const auto& [name, member] : kNumbers) {
      const auto found = object.find(name);
      if (found == object.end() || !found->is_number() || !(found->get<double>() > 0))
        throw InputError("`machine` {}: has no positive number {}", path, name);
      machine.*member = found->get<double>();
    }
    const auto member = [&](const char* name, auto& value, const char* what, auto&& right) {
      if (!object.contains(name)) return;
      if (!right(object[name])) throw InputError("`machine` {}: {} is not {}", path, name, what);
      object[name].get_to(value);
    };
    const auto count = [](const Json& j) {
      return j.is_number_integer() && j.get<Index>() >= 1 && j.get<Index>() <= 1'000'000'000;
    };
    member("ranks", machine.ranks, "a number of ranks", count);
    member("nodes", machine.nodes, "a number of nodes", count);
    member("kernel", machine.kernel, "a text", [](const Json& j) { return j.is_string(); });
    return machine;
  });
}

}  // namespace mercer::plan
