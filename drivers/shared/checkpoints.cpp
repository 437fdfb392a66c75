#include "shared/checkpoints.hpp"

#include <cmath>

#include "mercer/dist/checksum.hpp"
#include "mercer/dist/temporary.hpp"
#include "shared/signals.hpp"

namespace mercer::drivers {

namespace po = boost::program_options;

void CheckpointJob::add(po::options_description& group) {
  auto add = group.add_options();
  add("checkpoint", po::value(&path)->value_name("FILE"),
      "of the iterative solver: written every --checkpoint-every and when interrupted (SIGUSR1, "
      "SIGUSR2, SIGTERM, SIGINT, SIGHUP, SIGXCPU). mpirun passes SIGUSR1 and SIGUSR2 on and waits; "
      "after SIGTERM or SIGINT it kills its ranks within a second: too soon for a large "
      "checkpoint");
  add("checkpoint-every", po::value(&every_)->value_name("SECONDS|Np")->default_value(every_),
      "seconds between checkpoints, or 5p: every 5 products of K with a block");
  add("resume", po::bool_switch(&resume), "go on from --checkpoint FILE");
}

void CheckpointJob::settle(const CommandLine& line) {
  if (!asked()) {
    if (resume) throw InputError("--resume: needs --checkpoint FILE");
    if (line.given("checkpoint-every"))
      throw InputError("--checkpoint-every: needs --checkpoint FILE");
    return;
  }
  const bool by_products = every_.ends_with('p');
  const double every = parse_numbers("--checkpoint-every",
                                     by_products ? every_.substr(0, every_.size() - 1) : every_)
                           .at(0);
  if (!(every > 0 && every < 1e15) || (by_products && every != std::floor(every)))
    throw InputError(
        "--checkpoint-every {}: give seconds, e.g. 600, or a whole number of products, e.g. 5p",
        every_);
  seconds = by_products ? 0 : every;
  products = by_products ? static_cast<Index>(every) : 0;
}

dist::Identity settings_of(const CommonOptions& common, int ranks) {
  return {{"ranks", fmt::format("{}", ranks)},
          {"--grid", common.grid.empty() ? "chosen" : common.grid},
          {"--nb", common.nb > 0 ? fmt::format("{}", common.nb) : "chosen"}};
}

std::string contents_of(const comm::Communicator& comm, const std::string& path) {
  if (path.empty()) return "none";
  const auto checksum = dist::checksum_of_file(comm, path, path, 0);
  return fmt::format("{} bytes, checksum {:016x}", checksum.size, checksum.sum);
}

std::string contents_of(const comm::Communicator& comm, const gram::Source& kernel) {
  return contents_of(comm, kernel.is_stored() ? kernel.matrix_path() : std::string());
}

std::string contents_of_table(const comm::Communicator& comm, const std::string& g) {
  const std::string table = "table:";
  return contents_of(comm, g.starts_with(table) ? g.substr(table.size()) : std::string());
}

namespace {

bool on_as_many(const dist::Hdf5File& file, int ranks) {
  return file.has_attribute("/", "ranks") &&
         file.text_attribute("/", "ranks") == fmt::format("{}", ranks);
}

/// Every entry in double, kept or computed again.
bool is_exact(gram::Storage storage) {
  return storage == gram::Storage::in_double || storage == gram::Storage::none;
}

}  // namespace

ProductPlan resumed_products(const dist::Hdf5File& file, const StorageJob& storage,
                             const gram::Source& kernel, const forecast::Sizes& sizes,
                             double room) {
  const Machine reference;
  const auto kept = read_storage(file);
  const auto planned = [&](gram::Storage kind, double bytes) {
    return plan_products(kernel, sizes, kind, bytes, kept.block, reference);
  };
  const bool same = !storage.chosen() || storage.storage() == kept.storage;
  const int ranks = sizes.shape.rows * sizes.shape.cols;
  if (same && on_as_many(file, ranks)) return planned(kept.storage, kept.memory_bytes);
  if (storage.chosen()) return planned(storage.storage(), room);
  try {
    return planned(kept.storage, room);
  } catch (const MemoryError&) {
    return planned(is_exact(kept.storage) ? gram::Storage::none : gram::Storage::mixed, room);
  }
}

bool same_entries(const dist::Hdf5File& file, const gram::Source& kernel, const ProductPlan& plan,
                  int ranks) {
  using gram::Storage;
  const auto kept = read_storage(file);
  const Storage now = plan.options.storage;
  if (kernel.is_stored() || (is_exact(kept.storage) && is_exact(now))) return true;
  if (kept.storage != now) return false;
  // `mixed` rounds what the memory has room for.
  return now == Storage::in_single ||
         (on_as_many(file, ranks) && kept.memory_bytes == plan.options.memory_bytes);
}

void CheckpointWarning::operator()(const Session& session, const std::string& what) {
  if (what == said_) return;
  session.warn_always(fmt::format("--checkpoint {}; the run goes on", what));
  said_ = what;
}

Checkpoints::Checkpoints(const CheckpointJob& job, const Session& session,
                         CheckpointIdentity identity)
    : job_(job), session_(session), comm_(session.comm()), identity_(std::move(identity)) {}

void Checkpoints::begin() {
  if (job_.asked()) {
    note_signals();
    solving(true);
  }
  since_.reset();
}

void Checkpoints::end() {
  solving(false);
}

dist::Hdf5File Checkpoints::open() const {
  auto file = dist::Hdf5File::open(comm_, job_.path, dist::Origin::mercer);
  if (!file.has_attribute("/", "checkpoint_identity"))
    throw InputError("--resume: {} is no checkpoint", job_.path);
  dist::check_identity(file, identity_.problem, identity_.settings);
  return file;
}

std::string Checkpoints::differences(const dist::Hdf5File& file) const {
  const std::string text = dist::differences(file, identity_.settings);
  return text.empty() ? "" : ": " + text;
}

bool Checkpoints::step(const std::function<void(dist::Hdf5File&)>& write) {
  if (!job_.asked()) return false;
  ++products_;
  const bool due = (job_.products > 0 && products_ >= job_.products) ||
                   (job_.seconds > 0 && since_.seconds() >= job_.seconds);
  const int what = comm_.all_reduce(signalled() ? 2 : due ? 1 : 0, comm::Op::max);
  if (what == 0) return false;
  const bool last = what == 2;
  try {
    this->write(write);
  } catch (const Error& error) {  // on all ranks
    if (last) throw RunError("interrupted, and the checkpoint is lost: {}", error.what());
    warn_(session_, error.what());
  }
  since_.reset();
  products_ = 0;
  return last;
}

void Checkpoints::write(const std::function<void(dist::Hdf5File&)>& state) const {
  if (comm_.root()) dist::remove_leftovers(job_.path);  // of killed runs
  auto file = dist::Hdf5File::create(comm_, job_.path);
  dist::write_identity(file, identity_.problem);
  dist::write_settings(file, identity_.settings);
  state(file);
  file.finish();
}

void Checkpoints::interrupted(const std::string& done) const {
  throw Error(ExitCode::interrupted,
              fmt::format("interrupted after {}: {} holds it, --resume goes on", done, job_.path));
}

}  // namespace mercer::drivers
