#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "batches.hpp"
#include "mercer/train/gradient_sum.hpp"
#include "safeguard.hpp"
#include "sums.hpp"

namespace mercer::train {

inline constexpr double kDivergence = 1000;   ///< a run with |r| > kDivergence |r_0| has diverged
inline constexpr std::size_t kRecent = 1000;  ///< steps for Outcome::seconds_per_step

/// One call of descend(): its buffers, and the steps that [G] Algorithm 1 is made of.
template <class T>
class Descent {
 public:
  Descent(const comm::Communicator& comm, const net::Network& network, std::vector<RowSet<T>>& sets,
          State<T>& state, std::span<const T> w_0, const Options& options,
          const Directions<T>& directions, const Hooks<T>& hooks, double memory);
  Outcome run();

 private:
  // descend.cpp: the algorithm
  void start();
  void evaluate();
  void back_propagate();
  void update();
  template <class Decay>
  void move(Decay&& decay);
  void renew_preconditioner();

  // descend_safeguard.cpp: the rate
  void set_rate();
  double automatic_rate() const;  // by the batch bound or lambda_max, which was measured
  double measure_lambda_max(int most);
  void warn_of_rate();
  /// The rate beyond which the linear model diverges, and what it is made of; 0: not known.
  struct Limit {
    double rate = 0;
    std::string text{};
  };
  Limit limit_of_rate() const;
  /// The bound of stochastic steps; null for full batches, blocks, and where it is not known.
  const BatchBound* batch_bound() const;
  Index batch_rows() const { return ceil_div(run_.n(), batches_->pieces()); }
  /// L of one step.
  double decay_of_step() const {
    return options_.weight_decay / static_cast<double>(batches_->pieces());
  }
  double center(std::size_t i) const {
    return options_.decay_to == DecayTo::start ? static_cast<double>(w_0_[i]) : 0;
  }
  /// Sum of f(i) over the parameters of the layers that are trained.
  template <class F>
  double sum_over_trained(const F& f) const {
    double sum = 0;
    for (const auto& [first, count] : trained_)
      sum += running_sum(static_cast<std::size_t>(count), [&, at = static_cast<std::size_t>(first)](
                                                              std::size_t i) { return f(at + i); });
    return sum;
  }
  bool accepted();
  void judge_epoch();
  void judge_value(double value, bool blown);
  void take_back_epoch();
  double objective() const;
  double rounding() const;

  // descend_records.cpp: records and stop reasons
  std::optional<StopReason> ended();
  std::optional<StopReason> stop_reason();
  std::optional<StopReason> target() const;
  void check_divergence() const;
  void record();
  std::vector<double> directions();
  void say(const std::string& line) const;
  Outcome outcome(StopReason stop_reason) const;

  // Time and bytes sent of the steps, without records and hooks between them.
  void resume_counting();
  void stop_counting();

  const comm::Communicator& comm_;
  std::span<const T> w_0_;
  const Directions<T>& directions_;
  const std::vector<net::Range> trained_;  // fixed layers neither move nor decay
  const bool in_halves_;  // S is on the parameters: P is applied between the halves of the sum
  net::Evaluator<T> evaluator_;
  Run<T> run_;
  std::vector<RowSet<T>>& sets_;
  State<T>& state_;
  const Options& options_;
  const Hooks<T>& hooks_;

  std::vector<T> g_;     // J^T S r, summed over the ranks
  std::vector<T> base_;  // safeguard, path: w before the step
  GradientSum<T> sum_;
  std::unique_ptr<Batches<T>> batches_;
  Totals totals_;

  bool guarded_ = false;  // full batches: line search in each step
  bool watched_ = false;  // batches of random rows, P: the objective is tested in each epoch
  bool tried_ = false;    // safeguard: w is a trial point that was not accepted yet
  double before_ = 0;     // objective at base_
  double rounding_ = 0;   // of a difference of objectives
  double slope_ = 0;      // |g + L (w - w_0)|^2 at base_
  bool left_linear_regime_ = false, at_floor_ = false;

  double earlier_seconds_ = 0;  // of training, before this call
  Timer step_clock_;
  std::int64_t bytes_mark_ = 0;
  double all_seconds_ = 0;
  Index bytes_ = 0, steps_ = 0;
  double rate_products_ = 0;
  std::vector<double> recent_seconds_;  // a ring
};

}  // namespace mercer::train
