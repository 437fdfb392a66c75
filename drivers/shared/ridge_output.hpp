#pragma once

#include "mercer/jobs/model.hpp"
#include "mercer/jobs/ridge.hpp"
#include "shared/score_output.hpp"

namespace mercer::drivers {

/// Ridge, residual and method of the best fit as lines of the log, and where conjugate gradients
/// did not converge what to change. `unit`: score_unit().
template <class T>
void print_fit(Session& session, const jobs::RidgeFit<T>& fit, const std::string& unit);
/// Into the JSON record.
template <class T>
void note_fit(Session& session, const jobs::RidgeFit<T>& fit, const std::string& unit);
/// What the estimated score that chose the ridge is told in: GCV is a mean square. Local.
std::string score_unit(const jobs::RidgeOptions& options, const data::Preparation& preparation);

}  // namespace mercer::drivers
