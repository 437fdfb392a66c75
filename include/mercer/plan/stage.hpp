#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <utility>
#include <vector>

#include "mercer/base/memory.hpp"
#include "mercer/plan/machine.hpp"

namespace mercer::plan {

/// One stage of a job, as predicted.
struct Stage {
  std::string name{}, method{};
  double bytes = 0;    ///< of the rank that needs most while the stage runs
  double flops = 0;    ///< of all ranks together
  double seconds = 0;  ///< of the slowest rank
  double sent = 0;     ///< bytes that a rank sends
};

/// `cost` on a machine, with `data` bytes of rows held besides. Cost::network counts, in `sent` and
/// in the time, only where the machine's network was stated. Local.
Stage stage(std::string name, std::string method, const Cost& cost, const Machine& machine,
            double data);

/// What a job will take, stage by stage, before anything is allocated. Local.
class Plan {
 public:
  /// `baseline`: bytes that a rank holds before the job starts (MPI, libraries), measured and
  /// rounded up. `timed`: the stages' seconds are predictions for a machine, and text() shows them.
  /// `limit`: bytes that a rank may hold, and in words what sets them: "of `memory_limit`".
  explicit Plan(double baseline, bool timed = false, MemoryRoom limit = {})
      : baseline_(baseline), timed_(timed), limit_(std::move(limit)) {}
  void stage(Stage stage) { stages_.push_back(std::move(stage)); }
  /// What would take less memory, for excess(): "more ranks, `single` or fewer rows". `matrix_free`:
  /// why products with K do not fit either; may be empty.
  void suggest(std::string what, const std::string& matrix_free = {}) {
    suggestion_ = std::move(what);
    if (!matrix_free.empty()) suggestion_ += "; without the matrix: " + matrix_free;
  }

  bool timed() const { return timed_; }
  double peak() const;  ///< bytes a rank, baseline included
  double flops() const;
  double seconds() const;
  double sent() const;  ///< bytes sent by a rank
  /// The table: one line a stage, and the peak.
  std::string text() const;
  /// One object a stage: name, method, bytes, flops, seconds, sent.
  nlohmann::ordered_json json() const;
  double limit() const { return limit_.bytes; }  ///< 1e18: none is known
  /// Empty where the peak is at most limit(); else one line: the stage that needs most, and what
  /// can be done.
  std::string excess() const;
  /// Throws MemoryError with that line. Fits, spectra, matrices and trainings call it before they
  /// allocate anything.
  void require_memory() const;

 private:
  double baseline_;
  bool timed_;
  MemoryRoom limit_;
  std::string suggestion_ = "more ranks or fewer rows";
  std::vector<Stage> stages_;
};

/// "0.250 s", "12 s", "4.5 min", "3.2 h", "12 days", "2.5 years".
std::string format_seconds(double seconds);

}  // namespace mercer::plan
