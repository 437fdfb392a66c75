#include "mercer/report/record.hpp"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "mercer/base/memory.hpp"
#include "mercer/base/version.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/io/temporary.hpp"
#include "publish.hpp"

namespace mercer::report {
namespace {

using Json = nlohmann::ordered_json;

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// JSON has no NaN: null stands for it.
Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}
Json measured(double value) {
  return value < 0 ? Json(nullptr) : number(value);
}

}  // namespace

Record::Record() : version(mercer::version()), git(git_commit()), started(now_utc()) {}

void Record::write_attributes(io::Hdf5File& file) const {
  file.attribute("/", "mercer_version", version);
  file.attribute("/", "git", git);
  file.attribute("/", "libraries", libraries.dump());
  file.attribute("/", "command", command);
  file.attribute("/", "ranks", Index{ranks});
  file.attribute("/", "grid", grid);
  file.attribute("/", "nb", nb);
  file.attribute("/", "precision", precision);
  file.attribute("/", "kernel", kernel);
  file.attribute("/", "n", n);
  file.attribute("/", "data_hash", data_hash.empty() ? std::string("none") : data_hash);
  file.attribute("/", "started", started);
  file.attribute("/", "seconds", seconds_at_write);
  file.attribute("/", "seconds_cover", std::string("from the start of the run to this file's"));
}

Json Record::json(const Phases& phases, const comm::Communicator& comm) const {
  Json times = Json::object();
  for (const auto& p : phases.summary(comm))
    times[p.name] = {{"min", p.min}, {"mean", p.mean}, {"max", p.max}};
  Json record;
  record["driver"] = driver;
  record["version"] = version;
  record["git"] = git;
  record["libraries"] = libraries;
  record["command"] = command;
  record["started"] = started;
  record["config"] = config;
  record["kernel"] = kernel;
  record["data_hash"] = data_hash.empty() ? Json(nullptr) : Json(data_hash);
  record["n"] = n;
  record["d"] = d;
  record["ranks"] = ranks;
  record["nodes"] = comm::node_count(comm);
  record["grid"] = grid;
  record["nb"] = nb;
  record["threads"] = threads;
  record["precision"] = precision;
  record["method"] = method;
  record["phases"] = times;
  record["seconds"] = number(seconds);
  if (seconds_at_write >= 0) record["seconds_at_write"] = seconds_at_write;
  record["flops"] = number(flops);
  record["gflops"] = seconds > 0 ? number(1e-9 * flops / seconds) : Json(nullptr);
  record["peak_memory_bytes"] = comm.all_reduce(peak_memory_bytes(), comm::Op::max);
  record["bytes_sent"] = comm.all_reduce(comm::bytes_sent(), comm::Op::sum);
  record["residual"] = measured(residual);
  record["orthogonality"] = measured(orthogonality);
  record["result"] = result;
  record["status"] = status;
  return record;
}

void write_json(const comm::Communicator& comm, const std::string& path, const Json& object) {
  // A command line may hold bytes that are not UTF-8.
  write_text(comm, path, object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void write_text(const comm::Communicator& comm, const std::string& path, const std::string& text) {
  comm::together(comm, [&] {
    if (comm.root()) publish(path, text);
  });
}

void check_name(const std::string& out, const std::string& json) {
  if (!out.empty() && !is_special(out)) {
    const std::string suffix = lower_suffix(out);
    if (suffix != ".h5" && suffix != ".hdf5")
      throw InputError("`out` {}: is written as HDF5: give a name that ends in .h5 or .hdf5", out);
  }
  if (json.empty() || json == "-" || is_special(json)) return;
  for (const char* other : {".h5", ".hdf5", ".svg", ".png", ".pdf", ".csv", ".npy"})
    if (lower_suffix(json) == other)
      throw InputError("`json` {}: is written as JSON: give a name that ends in .json", json);
}

void check_writable(const comm::Communicator& comm, Content content, const std::string& option,
                    const std::string& path) {
  comm::together(comm, [&] {
    if (!comm.root() || path == "-") return;
    std::error_code ignored;
    const auto status = std::filesystem::status(path, ignored);
    if (std::filesystem::is_directory(status))
      throw InputError("{} {}: is a directory: give the name of a file", option, path);
    if (content == Content::hdf5 && is_special(path))
      throw InputError("{} {}: is a device or a pipe: give the name of a file", option, path);
    if (std::filesystem::exists(status) && access(path.c_str(), W_OK) != 0)
      throw InputError("{} {}: cannot be written: {}", option, path, std::strerror(errno));
    const auto check = [&](bool ok) {
      if (!ok) throw InputError("{} {}: cannot be written: {}", option, path, std::strerror(errno));
    };
    if (std::filesystem::is_fifo(status)) {
      const int pipe = open_special(path);  // stays open: closing it would end the reader's input
      if (pipe < 0 && errno == ENXIO)
        throw InputError("{} {}: is a pipe that nobody reads", option, path);
      check(pipe >= 0);
    }
    if (is_special(path)) return;  // a trial byte would arrive there
    io::TemporaryFile probe(path);
    const int file = probe.create();
    check(file >= 0);
    // One byte shows whether the disk is full.
    const bool ok = write(file, "\n", 1) == 1 && fsync(file) == 0;
    const int why = errno;
    close(file);
    errno = why;
    check(ok);
  });
}

void check_space(const comm::Communicator& comm, const std::string& option, const std::string& path,
                 double bytes) {
  comm::together(comm, [&] {
    if (!comm.root()) return;
    const auto folder = std::filesystem::path(io::followed(path)).parent_path();
    std::error_code unknown;
    const auto space = std::filesystem::space(folder.empty() ? "." : folder, unknown);
    if (unknown) return;
    if (const auto free = static_cast<double>(space.available); free < bytes)
      throw InputError("{} {}: takes {}, but the file system has only {} left", option, path,
                       format_bytes(bytes), format_bytes(free));
  });
}

}  // namespace mercer::report
