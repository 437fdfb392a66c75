#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mercer/base/timer.hpp"
#include "mercer/comm/communicator.hpp"

namespace mercer::report {

/// Wall-clock seconds of a run's phases, by name, in the order of their first start. Phases of one
/// name add up; a phase inside another (S refreshed during training) does not count towards the
/// outer one. Local, except summary().
class Phases {
 public:
  class Scope {
   public:
    Scope(Phases& phases, std::string name)
        : phases_(phases), name_(std::move(name)), outer_(phases.open_) {
      phases_.add(name_, 0);  // its place in the order
      phases_.open_ = this;
    }
    ~Scope() {
      const double seconds = timer_.seconds();
      phases_.add(name_, seconds - within_);
      if (outer_ != nullptr) outer_->within_ += seconds;
      phases_.open_ = outer_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Phases& phases_;
    std::string name_;
    Scope* outer_;
    double within_ = 0;  ///< seconds of phases inside this one
    Timer timer_;
  };
  /// Times until the scope ends: `const auto scope = phases.time("assemble");`
  [[nodiscard]] Scope time(std::string name) { return Scope(*this, std::move(name)); }
  void add(const std::string& name, double seconds);

  struct Summary {
    std::string name;
    double min = 0, mean = 0, max = 0;  ///< over the ranks
  };
  /// Every rank must have entered the same phases in the same order. Collective.
  std::vector<Summary> summary(const comm::Communicator& comm) const;

 private:
  std::vector<std::pair<std::string, double>> seconds_;
  Scope* open_ = nullptr;  ///< the innermost open phase
};

}  // namespace mercer::report
