#include "mercer/train/checkpoint.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "fingerprint.hpp"
#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/base/version.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/spectral/stored.hpp"
#include "stored_preconditioners.hpp"

namespace mercer::train {
namespace {

using io::check_identity;
using io::Hdf5File;
using io::require_same;
using io::write_identity;

constexpr Index kVersion = 3;
constexpr Index kMostSteps = Index{1} << 53;

template <class T>
constexpr const char* kPrecision = std::is_same_v<T, double> ? "float64" : "float32";

// The members of a state by name: the list by which states are written, read and hashed.

template <class S, class F>
void each_count(S& state, F&& f) {
  f("step", state.step);
  f("rejected", state.rejected);
  f("s_version", state.s_version);
  f("anchor_step", state.anchor_step);
  f("stalled", state.stalled);
}

template <class S, class F>
void each_number(S& state, F&& f) {
  f("rate", state.rate);
  f("bound", state.bound);
  f("lambda_max", state.lambda_max);
  f("first_residual", state.first_residual);
  f("time", state.time);
  f("path", state.path);
  f("seconds", state.seconds);
  f("anchor_value", state.anchor_value);
}

/// Vectors like w: p entries or none, the same on every rank.
template <class S, class F>
void each_parameters(S& state, F&& f) {
  f("w", state.w);
  f("velocity", state.velocity);
  f("anchor", state.anchor);
}

constexpr std::pair<const char*, double Record::*> kNumbers[] = {
    {"loss", &Record::loss},           {"loss_preconditioned", &Record::loss_preconditioned},
    {"residual", &Record::residual},   {"rate", &Record::rate},
    {"distance", &Record::distance},   {"time", &Record::time},
    {"path", &Record::path},           {"seconds", &Record::seconds},
    {"loss_test", &Record::loss_test}, {"kernel_change", &Record::kernel_change},
    {"deviation", &Record::deviation}};
constexpr std::pair<const char*, std::vector<double> Record::*> kVectors[] = {
    {"directions", &Record::directions},
    {"decay", &Record::decay},
    {"predicted", &Record::predicted},
    {"projection", &Record::projection},
    {"tracked", &Record::tracked}};

/// The small members of a state as named vectors of doubles; counts are exact below 2^53.
using Table = std::vector<std::pair<std::string, std::vector<double>>>;

template <class T>
Table table(const State<T>& state) {
  Table result;
  const auto put = [&](const std::string& name, std::vector<double> values) {
    result.emplace_back(name, std::move(values));
  };
  each_count(state, [&](const char* name, Index x) {
    put(fmt::format("/state/{}", name), {static_cast<double>(x)});
  });
  each_number(state, [&](const char* name, double x) { put(fmt::format("/state/{}", name), {x}); });
  put("/state/rates", state.rates);
  put("/state/decay", state.decay);
  put("/state/start", state.start);
  put("/state/projection", state.projection);
  put("/state/squares", state.squares);
  const auto column = [&](const std::string& name, auto&& of) {
    std::vector<double> values;
    for (const Record& record : state.history) values.push_back(of(record));
    put("/history/" + name, std::move(values));
  };
  column("step", [](const Record& r) { return static_cast<double>(r.step); });
  for (const auto& [name, member] : kNumbers)
    column(name, [m = member](const Record& r) { return r.*m; });
  for (const auto& [name, member] : kVectors) {
    column(fmt::format("{}_count", name),
           [m = member](const Record& r) { return static_cast<double>((r.*m).size()); });
    std::vector<double> all;
    for (const Record& record : state.history)
      all.insert(all.end(), (record.*member).begin(), (record.*member).end());
    put(fmt::format("/history/{}", name), std::move(all));
  }
  return result;
}

/// The inverse of table(): reads these members from `file`. Collective.
template <class T>
void read_table(const Hdf5File& file, State<T>& state) {
  const auto of_state = [](const char* name) { return fmt::format("/state/{}", name); };
  const auto count = [&](const std::string& name, double value) {
    return io::whole_number(file, name, value, -1, kMostSteps);
  };
  each_count(state, [&](const char* name, Index& x) {
    x = count(of_state(name), file.read_number(of_state(name)));
  });
  each_number(state, [&](const char* name, double& x) { x = file.read_number(of_state(name)); });
  state.rates = file.read_vector("/state/rates");
  state.decay = file.read_vector("/state/decay");
  state.start = file.read_vector("/state/start");
  state.projection = file.read_vector("/state/projection");
  state.squares = file.read_vector("/state/squares");
  if (state.decay.size() != state.start.size())
    throw InputError("{}: /state/decay is of {} directions, /state/start of {}", file.path(),
                     state.decay.size(), state.start.size());

  const auto steps = file.read_vector("/history/step");
  state.history.assign(steps.size(), {});
  for (std::size_t i = 0; i < steps.size(); ++i)
    state.history[i].step = count("/history/step", steps[i]);
  const auto column = [&](const std::string& name) {
    auto values = file.read_vector("/history/" + name);
    if (values.size() != steps.size())
      throw InputError("{}: /history/{} holds {} records, /history/step {}", file.path(), name,
                       values.size(), steps.size());
    return values;
  };
  for (const auto& [name, member] : kNumbers) {
    const auto values = column(name);
    for (std::size_t i = 0; i < steps.size(); ++i) state.history[i].*member = values[i];
  }
  for (const auto& [name, member] : kVectors) {
    const auto counts = column(fmt::format("{}_count", name));
    const auto all = file.read_vector(fmt::format("/history/{}", name));
    auto next = all.begin();
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const auto end = next + io::whole_number(file, fmt::format("/history/{}_count", name),
                                               counts[i], 0, all.end() - next);
      (state.history[i].*member).assign(next, end);
      next = end;
    }
    if (next != all.end())
      throw InputError("{}: /history/{} does not hold what its counts say", file.path(), name);
  }
}

std::string residual_name(std::size_t set) {
  return fmt::format("/state/residual{}", set);
}

/// The hash of the state without S, the same for every number of ranks. Collective.
template <class T>
std::string hash_of(const comm::Communicator& comm, const State<T>& state,
                    const std::vector<RowSet<T>>& sets) {
  Fingerprint hash;
  for (const auto& [name, values] : table(state)) hash.add_replicated<double>(comm, name, values);
  each_parameters(state, [&](const char* name, const std::vector<T>& values) {
    const auto own = own_part(comm, values);
    hash.add(name, own.data - values.data(),
             std::span<const T>(own.data, static_cast<std::size_t>(own.cols)));
  });
  for (std::size_t s = 0; s < state.residual.size(); ++s) {
    const auto& r = state.residual[s];
    hash.add(residual_name(s), sets[s].first * r.rows(),
             std::span<const T>(r.data(), static_cast<std::size_t>(r.size())));
  }
  return hash_text(hash.total(comm));
}

void check_version(const Hdf5File& file) {
  if (!file.has_attribute("/", "checkpoint_version"))
    throw InputError("{}: is not a checkpoint of mercer-train", file.path());
  const double version = file.number_attribute("/", "checkpoint_version");
  if (!(version == static_cast<double>(kVersion)))
    throw InputError("{}: is a checkpoint of version {}, this program reads version {}",
                     file.path(), version, kVersion);
}

template <class T>
void check_sets(const Hdf5File& file, const std::vector<RowSet<T>>& sets) {
  const auto rows = file.read_vector("/state/set_rows");
  require_same(file.path(), "the number of blocks of rows", std::to_string(rows.size()),
               std::to_string(sets.size()));
  for (std::size_t s = 0; s < sets.size(); ++s) {
    require_same(file.path(), fmt::format("the number of rows of block {}", s),
                 fmt::format("{}", rows[s]), fmt::format("{}", sets[s].n));
  }
}

template <class T>
std::vector<double> rows_of(const std::vector<RowSet<T>>& sets) {
  std::vector<double> rows;
  for (const auto& set : sets) rows.push_back(static_cast<double>(set.n));
  return rows;
}

}  // namespace

template <class T>
void write_checkpoint(const comm::Communicator& comm, const std::string& path,
                      const Identity& identity, const State<T>& state,
                      const std::vector<RowSet<T>>& sets, const Identity& settings) {
  if (state.residual.size() > sets.size())
    throw RunError("residuals of {} sets of rows, but there are {}", state.residual.size(),
                   sets.size());
  remove_leftovers(comm, path, false, "");
  const std::string s_hash = write_preconditioners(comm, path, sets);

  auto file = Hdf5File::create(comm, path);
  file.attribute("/", "checkpoint_version", kVersion);
  file.attribute("/", "checkpoint_precision", std::string(kPrecision<T>));
  file.attribute("/", "checkpoint_hash", hash_of(comm, state, sets));
  file.attribute("/", "checkpoint_S", s_hash);
  file.attribute("/", "checkpoint_written_by", "mercer " + version());
  write_identity(file, identity);
  io::write_settings(file, settings);
  for (const auto& [name, values] : table(state)) file.write(name, values);
  file.write("/state/set_rows", rows_of(sets));
  each_parameters(state, [&](const char* name, const std::vector<T>& values) {
    file.write<T>(fmt::format("/state/{}", name), static_cast<Index>(values.size()),
                  own_part(comm, values));
  });
  for (std::size_t s = 0; s < state.residual.size(); ++s)
    file.write<T>(residual_name(s), sets[s].n, state.residual[s].view());
  file.finish();
  remove_leftovers(comm, path, true, s_hash);
}

template <class T>
void read_checkpoint(const comm::Communicator& comm, const std::string& path,
                     const Identity& identity, const net::Network& network, State<T>& state,
                     std::vector<RowSet<T>>& sets) {
  const auto file = Hdf5File::open(comm, path, io::Origin::mercer);
  check_version(file);
  check_identity(file, identity);
  require_same(path, "the precision", file.text_attribute("/", "checkpoint_precision"),
               kPrecision<T>);
  check_sets(file, sets);
  read_table(file, state);
  each_parameters(state, [&](const char* name, std::vector<T>& values) {
    const auto all = dist::all_rows(file.read_rows<T>(fmt::format("/state/{}", name)));
    values.assign(all.data(), all.data() + all.size());
  });
  state.residual.clear();
  for (std::size_t s = 0; s < sets.size() && file.contains(residual_name(s)); ++s) {
    const Index c = sets[s].Y.rows();
    state.residual.push_back(file.read_rows<T>(residual_name(s), sets[s].n, c).release());
  }
  const auto wanted = file.text_attribute("/", "checkpoint_hash");
  const auto found = hash_of(comm, state, sets);
  if (found != wanted)
    throw InputError("{}: is damaged: its hash is {}, {} was written", path, found, wanted);
  read_preconditioners(comm, path, file.text_attribute("/", "checkpoint_S"), network, sets);
}

#define MERCER_INSTANTIATE(T)                                                                      \
  template void write_checkpoint<T>(const comm::Communicator&, const std::string&,                 \
                                    const Identity&, const State<T>&,                              \
                                    const std::vector<RowSet<T>>&, const Identity&);               \
  template void read_checkpoint<T>(const comm::Communicator&, const std::string&, const Identity&, \
                                   const net::Network&, State<T>&, std::vector<RowSet<T>>&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::train
