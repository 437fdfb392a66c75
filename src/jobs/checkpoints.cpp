#include "mercer/jobs/checkpoints.hpp"

#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/io/checksum.hpp"
#include "mercer/io/temporary.hpp"

namespace mercer::jobs {

void CheckpointOptions::validate() const {
  if (resume && !asked()) throw InputError("`resume`: needs `checkpoint`");
  if (!(seconds >= 0 && std::isfinite(seconds)) || products < 0)
    throw InputError("`checkpoints`: {} s, {} products: give numbers that are not negative",
                     seconds, products);
}

std::string instead_of(const std::string& option) {
  if (option != "checkpoint") return "";
  return ": if assembling K takes long, let mercer-kernel do that with a checkpoint, and give its "
         "result as the kernel, file:K.h5";
}

void CheckpointOptions::validate_for_assembly() const {
  validate();
  if (products > 0)
    throw InputError(
        "`checkpoints`: a kernel matrix is assembled without products: give seconds, e.g. 600");
}

void require_new_checkpoint(const comm::Communicator& comm, const CheckpointOptions& checkpoints) {
  if (!checkpoints.asked() || checkpoints.resume) return;
  comm::together(comm, [&] {
    std::error_code ignored;
    if (!comm.root() || std::filesystem::file_size(checkpoints.path, ignored) == 0 || ignored)
      return;
    throw InputError(
        "`checkpoint` {}: exists already: give `resume` to go on from it, or another name, or "
        "remove it to start anew",
        checkpoints.path);
  });
}

CheckpointIdentity settings_of(const Resources& resources, int ranks) {
  CheckpointIdentity identity;
  identity.settings = {{"ranks", fmt::format("{}", ranks)},
                       {"`grid`", resources.grid.empty() ? "chosen" : resources.grid},
                       {"`nb`", resources.nb > 0 ? fmt::format("{}", resources.nb) : "chosen"}};
  identity.of_rounding = {"ranks", "`grid`", "`nb`", "`storage`"};
  return identity;
}

std::string contents_of(const comm::Communicator& comm, const std::string& path) {
  if (path.empty()) return "none";
  const auto checksum = io::checksum_of_file(comm, path, path, 0);
  return fmt::format("{} bytes, checksum {:016x}", checksum.size, checksum.sum);
}

std::string contents_of(const comm::Communicator& comm, const gram::Source& kernel) {
  return contents_of(comm, kernel.is_stored() ? kernel.matrix_path() : std::string());
}

std::string matrix_of(const comm::Communicator& comm, const gram::Source& kernel) {
  if (!kernel.is_stored()) return "";
  const auto text = gram::stored_kernel(comm, kernel.matrix_path());
  return text.has_value() ? *text : contents_of(comm, kernel);
}

std::string contents_of_table(const comm::Communicator& comm, const std::string& g) {
  const std::string table = "table:";
  return contents_of(comm, g.starts_with(table) ? g.substr(table.size()) : std::string());
}

void CheckpointWarning::operator()(Monitor& monitor, const std::string& what) {
  if (what == said_) return;
  monitor.warn(fmt::format("`checkpoint` {}; the run goes on", what), true);
  said_ = what;
}

KeptAssembly::KeptAssembly(const CheckpointOptions& checkpoints, io::Identity problem,
                           Monitor& monitor)
    : checkpoints_(checkpoints), problem_(std::move(problem)), monitor_(monitor) {
  if (checkpoints_.asked()) solving_.emplace(monitor_);
}

gram::Options KeptAssembly::options(gram::Options options) {
  if (!checkpoints_.asked()) return options;
  options.checkpoint = {.path = checkpoints_.path,
                        .resume = checkpoints_.resume,
                        .seconds = checkpoints_.seconds > 0 ? checkpoints_.seconds : INFINITY,
                        .problem = problem_,
                        .log = monitor_.lines("resume"),
                        .warn = [this](const std::string& what) { warn_(monitor_, what); }};
  options.interrupted = [this] { return monitor_.interrupted(); };
  return options;
}

Checkpoints::Checkpoints(CheckpointOptions options, const comm::Communicator& comm,
                         Monitor& monitor, CheckpointIdentity identity)
    : options_(std::move(options)),
      comm_(comm),
      monitor_(monitor),
      identity_(std::move(identity)) {}

void Checkpoints::begin() {
  if (options_.asked()) solving_.emplace(monitor_);
  since_.reset();
}

void Checkpoints::end() {
  solving_.reset();
}

io::Hdf5File Checkpoints::open() const {
  auto file = io::Hdf5File::open(comm_, options_.path, io::Origin::mercer);
  if (!file.has_attribute("/", "checkpoint_identity"))
    throw InputError("`resume`: {} is not a checkpoint", options_.path);
  io::check_identity(file, identity_.problem, identity_.settings);
  return file;
}

std::string Checkpoints::differences(const io::Hdf5File& file) const {
  const std::string text = io::differences(file, identity_.settings, identity_.of_rounding);
  return text.empty() ? "" : ": " + text;
}

bool Checkpoints::step(const std::function<void(io::Hdf5File&)>& write) {
  if (!options_.asked()) return false;
  ++products_;
  const bool due = (options_.products > 0 && products_ >= options_.products) ||
                   (options_.seconds > 0 && since_.seconds() >= options_.seconds);
  const int what = comm_.all_reduce(monitor_.interrupted() ? 2 : due ? 1 : 0, comm::Op::max);
  if (what == 0) return false;
  const bool last = what == 2;
  try {
    this->write(write);
  } catch (const Error& error) {  // on all ranks
    if (last)
      throw RunError("interrupted, and the checkpoint could not be written: {}", error.what());
    warn_(monitor_, error.what());
  }
  since_.reset();
  products_ = 0;
  return last;
}

void Checkpoints::write(const std::function<void(io::Hdf5File&)>& state) const {
  if (comm_.root()) io::remove_leftovers(options_.path);  // of killed runs
  auto file = io::Hdf5File::create(comm_, options_.path);
  io::write_identity(file, identity_.problem);
  io::write_settings(file, identity_.settings);
  state(file);
  file.finish();
}

void Checkpoints::interrupted(const std::string& done) const {
  throw Error(ExitCode::interrupted,
              fmt::format("interrupted after {}: {} holds the state, `resume` goes on", done,
                          options_.path));
}

}  // namespace mercer::jobs
