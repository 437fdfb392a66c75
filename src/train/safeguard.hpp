#pragma once

#include <algorithm>

namespace mercer::train {

/// Compares what a step did to the objective with what the linear model promises (descend.hpp).
/// Pure.
struct Safeguard {
  enum class Verdict { good, fair, poor, taken_back };

  static constexpr double kGood = 0.9, kFair = 0.5, kPoor = 0.1;
  static constexpr double kGrowth = 1.25, kShrink = 0.5, kEpochGrowth = 1.1;
  static constexpr double kFloor = 1e-8;  ///< of the bound: below it no try is taken back

  /// Of |r_0|: S^(1/2) sees little of the top modes, along which r could grow while the objective
  /// falls.
  static constexpr double kLargestResidual = 2;

  /// `promised` and `reached`: decreases of the objective; `rounding`: what rounding can make of
  /// their difference. NaN is taken back.
  static Verdict judge(double promised, double reached, double rounding) {
    const double decrease = reached + rounding;
    if (decrease >= kGood * promised) return Verdict::good;
    if (decrease >= kFair * promised) return Verdict::fair;
    return decrease >= kPoor * promised ? Verdict::poor : Verdict::taken_back;
  }

  /// eta of the next try or step.
  static double next_rate(Verdict verdict, double rate, double bound) {
    switch (verdict) {
      case Verdict::good:
        return std::min(bound, kGrowth * rate);
      case Verdict::fair:
        return rate;
      default:
        return std::max(kFloor * bound, kShrink * rate);
    }
  }
};

}  // namespace mercer::train
