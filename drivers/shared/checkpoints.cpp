#include "shared/checkpoints.hpp"

#include <cmath>
#include <filesystem>
#include <system_error>

#include "shared/signals.hpp"

namespace mercer::drivers {

namespace po = boost::program_options;

void CheckpointJob::add(po::options_description& group) {
  auto add = group.add_options();
  add("checkpoint", po::value(&path)->value_name("FILE"),
      "of the iterative solver: written when interrupted (SIGUSR1, SIGTERM), and every "
      "--checkpoint-every");
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

Checkpoints::Checkpoints(const CheckpointJob& job, const comm::Communicator& comm,
                         dist::Identity identity)
    : job_(job), comm_(comm), identity_(std::move(identity)) {}

void Checkpoints::begin() {
  if (job_.asked()) note_signals();
  since_.reset();
}

dist::Hdf5File Checkpoints::open() const {
  auto file = dist::Hdf5File::open(comm_, job_.path);
  if (!file.has_attribute("/", "checkpoint_identity"))
    throw InputError("--resume: {} is no checkpoint", job_.path);
  dist::check_identity(file, identity_);
  return file;
}

bool Checkpoints::step(const std::function<void(dist::Hdf5File&)>& write) {
  if (!job_.asked()) return false;
  ++products_;
  const bool due = (job_.products > 0 && products_ >= job_.products) ||
                   (job_.seconds > 0 && since_.seconds() >= job_.seconds);
  const int what = comm_.all_reduce(signalled() ? 2 : due ? 1 : 0, comm::Op::max);
  if (what == 0) return false;
  remove_temporary_files();
  auto file = dist::Hdf5File::create(comm_, job_.path);
  dist::write_identity(file, identity_);
  write(file);
  file.finish();
  since_.reset();
  products_ = 0;
  return what == 2;
}

void Checkpoints::interrupted(const std::string& done) const {
  throw Error(ExitCode::interrupted,
              fmt::format("interrupted after {}: {} holds it, --resume goes on", done, job_.path));
}

/// Those that killed runs left.
void Checkpoints::remove_temporary_files() const {
  namespace fs = std::filesystem;
  if (comm_.root()) {
    const auto prefix = fs::path(job_.path).filename().string() + ".tmp-";
    const auto parent = fs::path(job_.path).parent_path();
    std::error_code ignored;
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(parent.empty() ? "." : parent, ignored))
      if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
    for (const auto& file : found) fs::remove(file, ignored);
  }
  comm_.barrier();
}

}  // namespace mercer::drivers
