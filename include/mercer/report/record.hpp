#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>

#include "mercer/comm/communicator.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/report/phases.hpp"

namespace mercer::report {

/// The record of a run, written both as root attributes of its HDF5 result and as one JSON object.
struct Record {
  /// Fills in version, git and started.
  Record();

  std::string driver, version, git, command, started;                ///< started: ISO 8601, UTC
  nlohmann::ordered_json config = nlohmann::ordered_json::object();  ///< every option in force
  Index n = 0, d = 0, nb = 0;
  int ranks = 1, threads = 1;
  std::string grid;  ///< "2x3"
  std::string precision = "double";
  std::string kernel;     ///< canonical text
  std::string data_hash;  ///< 16 hexadecimal digits; empty where there are no data
  std::string method;
  double flops = 0;  ///< of the whole run, counted: gflops of json() is 1e-9 flops/seconds
  double residual = -1, orthogonality = -1;  ///< -1: not measured (null in the record)
  nlohmann::ordered_json result = nlohmann::ordered_json::object();
  std::string status = "ok";
  double seconds = 0;  ///< wall clock, from the start of the run to its end
  double seconds_at_write =
      -1;  ///< the same clock when writing the HDF5 result began; -1: there is none
  /// report::libraries() of the run.
  nlohmann::ordered_json libraries = nlohmann::ordered_json::object();

  /// Writes the root attributes mercer_version, git, libraries (JSON text), command, ranks, grid,
  /// nb, precision, kernel, n, data_hash ("none" without data), started, seconds (that is,
  /// seconds_at_write) and seconds_cover, which says what seconds are. Collective.
  void write_attributes(io::Hdf5File& file) const;
  /// The record as an object, with phases, gflops, peak_memory_bytes (of the rank with most) and
  /// bytes_sent (sum over the ranks) added; a NaN or infinity becomes null. Collective.
  nlohmann::ordered_json json(const Phases& phases, const comm::Communicator& comm) const;
};

/// Writes the object from rank 0 to `path` ("-": standard output), under a temporary name that is
/// renamed when complete. Throws RunError on all ranks where that fails. Collective.
void write_json(const comm::Communicator& comm, const std::string& path,
                const nlohmann::ordered_json& object);

/// The same for a text, such as a table.
void write_text(const comm::Communicator& comm, const std::string& path, const std::string& text);

/// Throws InputError where a name promises another format than is written: an HDF5 result `out`
/// that does not end in .h5 or .hdf5, a record `json` that ends as HDF5, pictures or tables do.
/// Places that are not files (/dev/null) may have any name. Local.
void check_name(const std::string& out, const std::string& json);

/// What is written to a place: HDF5 to files only, texts and pictures to pipes and devices too.
enum class Content { hdf5, text };
/// Throws InputError on all ranks, naming `option` and the path, where rank 0 cannot write
/// `content` to `path` ("-": standard output, which always can): to be called before the work.
/// Leaves nothing behind. Collective.
void check_writable(const comm::Communicator& comm, Content content, const std::string& option,
                    const std::string& path);

/// Throws InputError on all ranks, naming `option` and the path, where the file system of `path`
/// has less than `bytes` free: to be called before the work. Quotas are not seen. Collective.
void check_space(const comm::Communicator& comm, const std::string& option, const std::string& path,
                 double bytes);

}  // namespace mercer::report
