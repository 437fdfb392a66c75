#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>

#include "mercer/comm/communicator.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/report/phases.hpp"

namespace mercer::report {

/// What a run says of itself: once as the root attributes of its HDF5 result, once as one JSON
/// object. version, git and the starting time are filled in by the constructor.
struct Record {
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
  double flops = 0;  ///< of the whole run, as planned: gflops is flops over seconds
  double residual = -1, orthogonality = -1;  ///< -1: not measured (null in the record)
  nlohmann::ordered_json result = nlohmann::ordered_json::object();
  std::string status = "ok";
  double seconds = 0;  ///< wall clock, from the start of the run to its end
  double seconds_at_write =
      -1;  ///< the same clock when the HDF5 result was begun; -1: there is none
  /// What the run was made with: one text an entry, by library.
  nlohmann::ordered_json libraries = nlohmann::ordered_json::object();

  /// The root attributes mercer_version, git, libraries (JSON text), command, ranks, grid, nb,
  /// precision, kernel, n, data_hash ("none" without data), started, and seconds, which are
  /// seconds_at_write: the attribute seconds_cover says so. Collective.
  void write_attributes(io::Hdf5File& file) const;
  /// The object with phases, gflops, peak_memory_bytes (largest rank) and bytes_sent (sum over the
  /// ranks) added; a NaN or infinity becomes null. Collective; the same on every rank.
  nlohmann::ordered_json json(const Phases& phases, const comm::Communicator& comm) const;
};

/// Writes the object to `path` ("-": standard output) from rank 0, by way of a temporary name.
/// Throws RunError on all ranks where that fails. Collective.
void write_json(const comm::Communicator& comm, const std::string& path,
                const nlohmann::ordered_json& object);

/// The same for a text, such as a table.
void write_text(const comm::Communicator& comm, const std::string& path, const std::string& text);

/// Throws InputError where a result is asked for under a name that promises another format: an
/// result that does not end in .h5 or .hdf5, a record that ends as HDF5, pictures or tables do.
/// Places that are no files (/dev/null) may have any name. Local.
void check_name(const std::string& out, const std::string& json);

/// Throws InputError on all ranks, naming `option` and the path, where a file could not be created
/// at `path`: to be called before the work. Leaves nothing behind. HDF5 goes to files only, texts
/// and pictures to pipes and devices too. Collective.
enum class Content { hdf5, text };
void check_writable(const comm::Communicator& comm, Content content, const std::string& option,
                    const std::string& path);

}  // namespace mercer::report
