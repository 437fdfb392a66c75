#pragma once

#include "mercer/jobs/training.hpp"

// Shared by the files of a training.

namespace mercer::jobs {

/// Throws InputError where the network, |w_0| = `parameters` and the rows do not fit together.
/// Local.
void check_fit(const net::Network& network, const data::Split& sets, std::size_t parameters);

/// The sets of rows with an S each: all rows, or the blocks.
struct RowSets {
  Index count = 1, rows = 0;  ///< their number, and the rows of the largest
  Index top = 0, k = 0;       ///< modes of each S; pairs for it and the directions
  Index outputs = 0;          ///< where the rows are those of rows and outputs: c
  Index traced = 0;           ///< pairs for directions and eigenfunctions
};
/// Pairs beyond the last eigenfunction that are computed too, so that its space is known.
inline constexpr Index kBeyondFunctions = 8;
/// Of n rows and c outputs. Local.
RowSets row_sets(const TrainingPlan& plan, Index n, Index c);

/// Decides how the pairs are computed, and adds the stages of the plan. `given`: pairs in
/// options.spectrum. Local.
template <class T>
void plan_stages(TrainingPlan& plan, const net::Network& network, const data::Split& sets,
                 std::span<const T> w_0, Index given, const Resources& resources,
                 double load_seconds);

/// Bytes a rank for the activations of a step's rows. Local.
double activation_bytes(const Resources& resources);
/// Bytes for activations of the test rows, which are evaluated in batches.
inline constexpr double kTestMemory = 64.0 * 1024 * 1024;

/// The modes of K_0 that g changes.
struct ParameterModes {
  explicit ParameterModes(const msk::ModifiedSpectrum& spectrum);

  std::vector<Index> columns{};                  ///< among the pairs
  std::vector<double> coefficients{}, lambda{};  ///< g_i/lambda_i - 1; of K_0
};

/// S of the start on the residuals of one output, S = I + V diag(s - 1) V^T, on the grid.
struct GridS {
  dist::DistMatrix<double> V;  ///< n x k
  std::vector<double> s{};     ///< of the k pairs
};

/// The eigenfunctions of a run on the test rows.
struct TestFunctions {
  FunctionTrace trace{};
  dist::RowBlock<double> values{};  ///< m x k, by rows as the test set
};

/// The row sets that steps use, and their S: K -> eigenpairs -> g -> S. Borrows its arguments. All
/// calls are collective unless marked local.
template <class T>
class TrainingPairs {
 public:
  TrainingPairs(const TrainingPlan& plan, const net::Network& network, const data::Split& sets,
                const dist::ProcessGrid& grid, Monitor& monitor);

  /// All rows as one set, or the blocks of Stochastic::block; with S = I.
  std::vector<train::RowSet<T>> rows() const;
  /// Computes the S of each set if the job has one and `with_S` (a checkpoint brings its own), the
  /// directions, and the bounds of the rate.
  void prepare(std::vector<train::RowSet<T>>& sets, bool with_S, std::span<const T> w_0,
               Training<T>& training);
  /// `block`: replaces the rows of all sets by those of `epoch`; a checkpoint brings their S.
  void draw_blocks(std::vector<train::RowSet<T>>& sets, Index epoch);
  /// The hooks that compute S again or draw new blocks, where the options ask for them; they refer
  /// to this object. Local.
  void add_to(train::Hooks<T>& hooks);

  const train::Directions<T>& directions() const { return directions_; }
  /// S of the start on the grid, where K_t is compared with it; else null. Local.
  const GridS* grid_S() const { return grid_S_.has_value() ? &*grid_S_ : nullptr; }
  /// The eigenfunctions on the test rows; null where none were asked for. Local.
  const TestFunctions* functions() const { return functions_.has_value() ? &*functions_ : nullptr; }
  /// How often K's pairs were computed, for a set of rows each time. Local.
  Index solved() const { return solved_; }

 private:
  /// New blocks, and their S.
  void draw_blocks(std::vector<train::RowSet<T>>& sets, Index epoch, std::span<const T> w);
  /// Computes the S of one set again, from the network's kernel at w, and the rates of the
  /// directions.
  void renew(train::RowSet<T>& set, std::size_t number, std::span<const T> w);
  const dist::RowBlock<double>& inputs(std::size_t set) const {
    if (joint()) return seeded_;
    return blocks_.empty() ? train_.inputs : blocks_[set];
  }
  using Pairs = msk::CutPairs<spectral::TopPairs>;
  /// At least `k` pairs of K = (1/n) [k(x_i, x_j)], and g on the first `top` of them, or on more
  /// where `top` cuts an eigenspace; without S, g is the identity.
  Pairs pairs(const gram::Source& kernel, const dist::RowBlock<double>& X, Index k);
  /// K's pairs by `solve`, whose values are multiplied by `scale`, and g on them.
  Pairs cut(const msk::SpectrumMap& g, Index top, Index k, Index n, PairSolver& solve,
            double scale = 1) const;
  // training_parameters.cpp
  /// S on the parameters at w, or with S = I the bound of the rate alone.
  train::ParameterPreconditioner<T> on_parameters(std::span<const T> w, bool report);
  Pairs sampled_pairs(const std::vector<double>& parameters);
  train::PairRows<T> pair_rows(const std::vector<double>& parameters,
                               const spectral::TopPairs& pairs, const ParameterModes& modes,
                               double& beta) const;
  Index batch_rows() const;  ///< of a step
  bool joint() const { return options_.joint_outputs && network_.outputs() > 1; }
  msk::Preconditioner<T> on_residuals(const Pairs& solved) const;
  void prepare_directions(const Pairs& solved);
  void prepare_functions(const Pairs& solved, std::span<const T> w_0);
  void prepare_grid_S(const Pairs& solved);
  std::vector<double> ratios(const msk::ModifiedSpectrum& spectrum) const;
  /// The factor s in J J^T = s n K.
  double jacobian_scale() const;
  /// Updates bound_from and bound_to of `training` by the set of this spectrum.
  void note_bound(const msk::ModifiedSpectrum& spectrum, Index n, Training<T>& training) const;
  /// Extreme eigenvalues of K_0 S. `pairs`: null for S = I.
  Extremes operator_spectrum(const spectral::TopPairs* pairs, const msk::ModifiedSpectrum& spectrum,
                             std::span<const T> w_0) const;

  const TrainingPlan& plan_;
  const TrainingOptions& options_;
  const net::Network& network_;
  const data::Dataset& train_;
  const data::Dataset* test_;
  const dist::ProcessGrid& grid_;
  Monitor& monitor_;
  std::vector<dist::RowBlock<double>> blocks_;
  dist::RowBlock<double> seeded_;  ///< of all rows and outputs, for an S of all outputs together
  dist::RowBlock<double> sample_, others_;  ///< of S on the parameters (train::RowSample)
  train::Directions<T> directions_;
  std::optional<GridS> grid_S_;
  std::optional<TestFunctions> functions_;
  Index solved_ = 0;
};

}  // namespace mercer::jobs
