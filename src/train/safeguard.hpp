#pragma once

#include <algorithm>

namespace mercer::train {

/// Sufficient decrease: compares the decrease of the objective with the bound of the linear model
/// (descend.hpp). Pure.
struct Safeguard {
  enum class Verdict { good, fair, poor, taken_back };

  static constexpr double kGood = 0.9, kFair = 0.5, kPoor = 0.1;
  static constexpr double kGrowth = 1.25, kShrink = 0.5, kEpochGrowth = 1.1;
  static constexpr double kFloor = 1e-8;  ///< times the bound: no step is rejected at smaller rates

  /// Times |r_0|: S^(1/2) damps the top modes, along which r could grow while the objective falls.
  static constexpr double kLargestResidual = 2;

  // Of epochs, without an S on residuals: the noise of batches may raise the objective to kMostRise
  // times its least value; so many epochs in turn above kNoise times that shrink the rate.
  static constexpr double kMostRise = 4, kNoise = 1.5;
  static constexpr int kStalledEpochs = 5;

  /// `promised`: the bound of the linear model for the decrease of the objective; `reached`: the
  /// decrease; `rounding`: its possible rounding error. NaN is rejected.
  static Verdict judge(double promised, double reached, double rounding) {
    const double decrease = reached + rounding;
    if (decrease >= kGood * promised) return Verdict::good;
    if (decrease >= kFair * promised) return Verdict::fair;
    return decrease >= kPoor * promised ? Verdict::poor : Verdict::taken_back;
  }

  /// eta of the next trial or step.
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
