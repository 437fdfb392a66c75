#include <algorithm>

#include "bench/bench.hpp"
#include "bench/training.hpp"

namespace mercer::bench {
namespace {

constexpr Index kSteps = 10;  // of a run

/// S with coefficients -1/2 and a Psi of equal entries and norms below 1: for timing only.
template <class T>
train::ParameterPreconditioner<T> any_preconditioner(const comm::Communicator& comm,
                                                     const net::Network& network, Index k) {
  auto layout = train::parameter_layout<T>(comm, network, network.copies() > 1);
  const double size = static_cast<double>(layout.size * k);
  Matrix<T> Psi(layout.entries(), k, static_cast<T>(1 / size));
  return {std::move(layout), std::move(Psi), std::vector<double>(static_cast<std::size_t>(k), -0.5),
          train::BatchBound{}};
}

template <class T>
std::span<const T> entries(const Matrix<T>& A) {
  return {A.data(), static_cast<std::size_t>(A.size())};
}

struct Times {
  std::vector<double> plain{}, with_S{}, ratio{}, S_alone{}, read_rate{};
};

template <class T>
Times measure(const Bench& bench, const net::Network& network, Index batch, Index k) {
  const auto& comm = bench.comm();
  auto rows = random_rows<T>(comm, network, batch);
  const auto w_0 = network.initial<T>(bench.seed);
  auto P = any_preconditioner<T>(comm, network, k);
  auto& used = rows[0].P;
  const auto options = timed_steps(kSteps);
  const auto step = [&] {
    train::State<T> state;
    state.w = w_0;
    const auto outcome = train::descend<T>(comm, network, rows, state, w_0, options, {}, {});
    return comm.all_reduce(outcome.seconds_per_step, comm::Op::max);
  };
  auto g = network.initial<T>(bench.seed + 1);
  Times times;
  for (int r = 0; r < bench.repeat; ++r) {
    times.plain.push_back(step());
    std::swap(used, P);
    times.with_S.push_back(step());
    times.S_alone.push_back(seconds(comm, [&] { used.apply(comm, g); }));
    times.read_rate.push_back(read_rate(comm, entries(used.Psi())));
    std::swap(used, P);
    times.ratio.push_back(times.with_S.back() / times.plain.back());
  }
  return times;
}

}  // namespace

template <class T>
double parameter_step_bytes(const Bench& bench, const net::Network& network, Index batch, Index k) {
  const Index own = ceil_div(batch, bench.comm().size());
  return sizeof(T) * (5.0 * static_cast<double>(network.parameters()) +
                      static_cast<double>(k + 1) *
                          train::most_entries(network, network.copies() > 1, bench.comm().size()) +
                      static_cast<double>(own * (network.inputs() + 5 * network.outputs()))) +
         net::Evaluator<T>::bytes(network, own);
}

template <class T>
Json parameter_step(const Bench& bench, const net::Network& network, Index batch, Index k) {
  const auto times = measure<T>(bench, network, batch, k);
  const double bytes = static_cast<double>(sizeof(T)) * static_cast<double>(k) *
                       train::most_entries(network, network.copies() > 1, bench.comm().size());
  const double plain = median(times.plain), alone = median(times.S_alone);
  const double read = 2 * bytes / median(times.read_rate);
  bench.say(
      "\nS on the parameters, k = {}, {}, batches of {} rows: Psi {:.1f} MB a rank, read twice", k,
      network.copies() > 1 ? "antisymmetric" : "gaussian", batch, 1e-6 * bytes);
  bench.say("plain {:.4g} s;  with S {:.4g} s;  S alone {:.4g} s: {:.1f} GB/s a rank", plain,
            median(times.with_S), alone, 2e-9 * bytes / alone);
  bench.say(
      "with S / plain: {:.3f} (median of {}; {:.3f} ... {:.3f});  reading Psi twice alone would "
      "make it {:.3f}: {:.3g} s at {:.1f} GB/s",
      median(times.ratio), bench.repeat, *std::ranges::min_element(times.ratio),
      *std::ranges::max_element(times.ratio), 1 + read / plain, read,
      1e-9 * median(times.read_rate));
  return Json{{"network", network.text()},
              {"batch", batch},
              {"top_parameters", k},
              {"bytes_of_Psi", bytes},
              {"seconds_per_step", plain},
              {"seconds_with_S", median(times.with_S)},
              {"seconds_of_S", alone},
              {"ratio_with_S", median(times.ratio)},
              {"ratio_of_reading", 1 + read / plain},
              {"bytes_per_second_read", median(times.read_rate)}};
}

template double parameter_step_bytes<double>(const Bench&, const net::Network&, Index, Index);
template double parameter_step_bytes<float>(const Bench&, const net::Network&, Index, Index);
template Json parameter_step<double>(const Bench&, const net::Network&, Index, Index);
template Json parameter_step<float>(const Bench&, const net::Network&, Index, Index);

}  // namespace mercer::bench
