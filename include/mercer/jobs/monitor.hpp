#pragma once

#include <functional>
#include <string>
#include <utility>

#include "mercer/gram/kernel_operator.hpp"

namespace mercer::jobs {

/// What a job tells whoever runs it, and what it asks: derive from it to print, to show progress,
/// to time phases, or to stop a run. As it stands it is silent. Every function is called on all
/// ranks alike, but for lines of iterative solvers, which rank 0 alone logs; none may communicate,
/// and none changes what is computed.
class Monitor {
 public:
  virtual ~Monitor() = default;

  /// One line for a log: `topic` is a word ("solver", "g", "storage").
  virtual void log(const std::string& /*topic*/, const std::string& /*text*/) {}
  /// One line of a table, as it stands; the first one is its header and begins with a newline.
  virtual void line(const std::string& /*text*/) {}
  /// Something that a user should know; `always`: even where only errors are wanted, because
  /// something that was asked for is not there.
  virtual void warn(const std::string& /*text*/, bool /*always*/ = false) {}
  /// A phase begins ("assemble", "eigensolve"); the last one that began ends.
  virtual void begin(const std::string& /*phase*/) {}
  virtual void end() {}
  /// Of the phase that goes on: the share done, 0 ... 1, and what else is worth a word.
  virtual void progress(double /*share*/, const std::string& /*note*/ = {}) {}
  /// Is the run to stop? Asked by an iterative solver that has a checkpoint, between products of K
  /// and between the tiles of one: it then writes its state and ends. Asked by a training at each
  /// step, checkpoint or not.
  virtual bool interrupted() { return false; }
  /// Such a solver has begun (true), or ended: interrupted() is asked in between alone. Before it
  /// there is nothing to keep.
  virtual void solving(bool /*on*/) {}

  /// Runs `body` as the named phase and returns what it returns.
  template <class Body>
  auto phase(const std::string& name, Body&& body) {
    const Phase scope(*this, name);
    return std::forward<Body>(body)();
  }

  /// A phase until the end of the scope.
  class Phase {
   public:
    Phase(Monitor& monitor, const std::string& name) : monitor_(monitor) { monitor_.begin(name); }
    ~Phase() { monitor_.end(); }
    Phase(const Phase&) = delete;
    Phase& operator=(const Phase&) = delete;

   private:
    Monitor& monitor_;
  };

  /// For functions that are told the share done alone, or take a line.
  std::function<void(double)> shares() {
    return [this](double share) { progress(share); };
  }
  std::function<void(const std::string&)> lines(std::string topic) {
    return [this, topic = std::move(topic)](const std::string& text) { log(topic, text); };
  }
};

}  // namespace mercer::jobs
