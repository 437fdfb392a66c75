#pragma once

#include "mercer/jobs/model.hpp"
#include "mercer/jobs/ridge.hpp"
#include "shared/score_output.hpp"

namespace mercer::drivers {

/// Prints the best ridge, its residual and how it was chosen, and for conjugate gradients the
/// iterations of every ridge, with what to change where they did not converge. `unit`:
/// score_unit().
void print_fit(Session& session, const jobs::RidgeFit& fit, const std::string& unit);
/// Prints the standard deviations after each training time.
void print_covariances(const Session& session, const jobs::RidgeFit& fit,
                       const jobs::Covariances& covariances, const std::string& unit);
/// Prints predicted and measured errors for each n. `unit`: of targets.
void print_curve(Session& session, const jobs::LearningCurve& curve, Index rows,
                 const std::string& unit);
/// Notes the same in the JSON record.
void note_curve(Session& session, const jobs::LearningCurve& curve, const std::string& unit);
/// Notes what print_fit() prints, with method and flops, in the JSON record.
void note_fit(Session& session, const jobs::RidgeFit& fit, const std::string& unit);
/// The unit of the estimated score that chose the ridge; GCV is a mean square. Local.
std::string score_unit(const jobs::RidgeOptions& options, const data::Preparation& preparation);

}  // namespace mercer::drivers
