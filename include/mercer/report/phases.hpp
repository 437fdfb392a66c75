#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mercer/base/timer.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::report {

/// Wall-clock seconds of a run's phases, by name, in the order of their first start; phases that
/// are entered again add up. Local but for summary().
class Phases {
 public:
  class Scope {
   public:
    Scope(Phases& phases, std::string name) : phases_(phases), name_(std::move(name)) {}
    ~Scope() { phases_.add(name_, timer_.seconds()); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Phases& phases_;
    std::string name_;
    Timer timer_;
  };
  /// Times until the scope ends: `const auto scope = phases.time("assemble");`
  [[nodiscard]] Scope time(std::string name) { return Scope(*this, std::move(name)); }
  void add(const std::string& name, double seconds);

  struct Summary {
    std::string name;
    double min = 0, mean = 0, max = 0;  ///< over the ranks
  };
  /// Collective; every rank has entered the same phases.
  std::vector<Summary> summary(const comm::Communicator& comm) const;

 private:
  std::vector<std::pair<std::string, double>> seconds_;
};

}  // namespace mercer::report
