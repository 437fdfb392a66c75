#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mercer/krr/fit.hpp"
#include "mercer/krr/modified_operator.hpp"
#include "mercer/msk/eigenspaces.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/spectral/eigenpairs.hpp"
#include "shared/forecast.hpp"
#include "shared/ridge_job.hpp"

namespace mercer::drivers {

/// One run of conjugate gradients, for the report.
struct CgRun {
  Index iterations = 0, products = 0;
  bool converged = true;
  std::string stagnation{};  ///< what to change where it did not converge
};

/// What a fit leaves behind for predictions and reports.
template <class T>
struct Solution {
  std::string method = "cholesky";  ///< or the eigensolver, or cg
  std::vector<krr::Fit> fits;       ///< one a ridge
  std::size_t best = 0;             ///< of least leave-one-out error where there are several
  std::string edge;         ///< a line where the ridge was looked for and is at the range's end
  std::string edge_side{};  ///< then "lower" or "upper"
  double searched_from = 0, searched_to = 0;  ///< that range; 0: the ridge was given
  /// What loo_rmse, gcv or the score that chose the ridge estimate, for a modified kernel.
  std::string estimates{};
  std::optional<spectral::Eigenpairs<T>> pairs;
  msk::ModifiedSpectrum spectrum;  ///< empty without pairs
  Index top = 0;                   ///< eigenvalues that g acts on: --top, or more
  double mean_diagonal = 0;        ///< trace(K)/n

  // Of conjugate gradients.
  std::vector<CgRun> runs{};  ///< one a ridge
  bool resumed = false;       ///< iterations count those before --resume, products this run's alone
  std::string preconditioner{}, storage{};  ///< as they say of themselves
  double stored_share = 1;                  ///< of K
  std::vector<krr::RidgeScore> tried{};     ///< where the ridge was chosen
  std::optional<krr::RidgeScore> chosen{};
};

/// |S (Y - K alpha) - gamma alpha|_F / (|Y|_F + trace(K) |alpha|_F) with every entry of K
/// evaluated again: alpha = S (K S + gamma I)^-1 Y is its zero. S = I for plain ridge regression.
/// Collective.
template <class T>
double check(const RidgeJob& job, const gram::Source& kernel, const data::Dataset& train,
             const gram::Options& assembly, const Solution<T>& solution, const krr::Fit& fit,
             Session& session);

/// The lines that tell what g acts on, and a warning where the cut leaves something open. `of`:
/// what the eigenvalues are of, " of each block" or nothing.
void say_cut(const Session& session, const msk::SpectrumMap& g, const msk::Cut& cut, Index n,
             const std::string& of = "");

/// What leave-one-out, gcv and holdout estimate, where the kernel is modified; else empty. Local.
std::string what_scores_estimate(const RidgeJob& job);

/// Throws InputError where --top asks for more pairs than --spectrum holds. Collective.
void check_stored_pairs(const std::string& spectrum, Index top, const comm::Communicator& comm);

/// K -> coefficients, in the way that the job asks for: one ridge of the plain kernel by Cholesky;
/// one ridge of K_g = K S by the top eigenpairs and Cholesky; several ridges, or one that is to be
/// chosen, from all eigenpairs. Borrows its arguments. Collective.
template <class T>
class Fitting {
 public:
  Fitting(const RidgeJob& job, const gram::Source& kernel, const data::Dataset& train, Index nb,
          Session& session)
      : job_(job), kernel_(kernel), train_(train), session_(session), assembly_{.nb = nb} {}

  Solution<T> solve();

 private:
  Index n() const { return train_.rows(); }
  Index top() const { return job_.top < 0 ? n() : job_.top; }
  dist::DistMatrix<T> assemble();
  msk::CutPairs<spectral::Eigenpairs<T>> eigenpairs(const msk::SpectrumMap& g);
  /// Does --memory-limit leave room for k pairs?
  bool room_for_pairs(Index k) const;
  Solution<T> by_cholesky();
  void by_modified_cholesky(Solution<T>& solution);
  void along_path(Solution<T>& solution);

  const RidgeJob& job_;
  const gram::Source& kernel_;
  const data::Dataset& train_;
  Session& session_;
  gram::Options assembly_;
};

/// The stages of the way that Fitting, or a transductive job, will take, but for reading and
/// predictions. Local.
void plan_direct(Plan& plan, const RidgeJob& job, const forecast::Sizes& sizes,
                 const Machine& machine);

}  // namespace mercer::drivers
