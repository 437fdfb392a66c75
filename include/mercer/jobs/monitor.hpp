#pragma once

#include <functional>
#include <string>
#include <utility>

#include "mercer/base/memory.hpp"
#include "mercer/gram/kernel_operator.hpp"

namespace mercer::jobs {

/// What a job reports to its caller, and what it asks. Derive from it to print, to show progress,
/// to time phases, or to stop a run; the base class does nothing. Functions are called on all ranks
/// alike, except that rank 0 alone logs the lines of iterative solvers, and that progress() and
/// interrupted() are called as often as a rank has tiles. None may communicate, and none changes
/// what is computed.
class Monitor {
 public:
  virtual ~Monitor() = default;

  /// One line for a log; `topic` is a word ("solver", "g", "storage").
  virtual void log(const std::string& /*topic*/, const std::string& /*text*/) {}
  /// One line of a table, to be printed as it is; the first one, the header, begins with a newline.
  virtual void line(const std::string& /*text*/) {}
  /// A warning. `always`: show it even where only errors are wanted, because something that was
  /// asked for is missing.
  virtual void warn(const std::string& /*text*/, bool /*always*/ = false) {}
  /// begin(): a phase begins ("assemble", "eigensolve"). end(): the phase that began last ends.
  virtual void begin(const std::string& /*phase*/) {}
  virtual void end() {}
  /// The share of the current phase that is done, 0 ... 1, and a short note.
  virtual void progress(double /*share*/, const std::string& /*note*/ = {}) {}
  /// Whether the run is to stop. An iterative solver that has a checkpoint asks between products of
  /// K and between the tiles of a product; it then writes its state and ends. A training asks at
  /// each step, with or without a checkpoint, an assembly with one after each strip of a tile.
  virtual bool interrupted() { return false; }
  /// Such a solver, training or assembly has begun (true) or ended (false): interrupted() is asked only in
  /// between, when there is a state to keep.
  virtual void solving(bool /*on*/) {}

  /// Runs `body` as the named phase and returns what it returns.
  template <class Body>
  auto phase(const std::string& name, Body&& body) {
    const Phase scope(*this, name);
    return std::forward<Body>(body)();
  }

  /// A phase that ends with the scope. What the phases before it freed is given back.
  class Phase {
   public:
    Phase(Monitor& monitor, const std::string& name) : monitor_(monitor) {
      release_freed_memory();
      monitor_.begin(name);
    }
    ~Phase() { monitor_.end(); }
    Phase(const Phase&) = delete;
    Phase& operator=(const Phase&) = delete;

   private:
    Monitor& monitor_;
  };

  /// An iterative solver or training that ends with the scope, also by an exception: solving(true),
  /// then solving(false).
  class Solving {
   public:
    explicit Solving(Monitor& monitor) : monitor_(monitor) { monitor_.solving(true); }
    ~Solving() { monitor_.solving(false); }
    Solving(const Solving&) = delete;
    Solving& operator=(const Solving&) = delete;

   private:
    Monitor& monitor_;
  };

  /// progress() and log() as callbacks, for functions that report a share or a line.
  std::function<void(double)> shares() {
    return [this](double share) { progress(share); };
  }
  std::function<void(const std::string&)> lines(std::string topic) {
    return [this, topic = std::move(topic)](const std::string& text) { log(topic, text); };
  }
};

}  // namespace mercer::jobs
