#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "mercer/gram/operator.hpp"
#include "mercer/spectral/eigenpairs.hpp"

/// The top eigenpairs of a matrix that is known by its products alone: block Lanczos with full
/// reorthogonalisation and thick restarts. Golub and Underwood, "The block Lanczos method for
/// computing eigenvalues" (1977); Wu and Simon, "Thick-restart Lanczos method for large symmetric
/// eigenvalue problems", SIAM J. Matrix Anal. Appl. 22 (2000); random start and its block width:
/// Musco and Musco, "Randomized block Krylov methods", arXiv 1504.05477.
namespace mercer::spectral {

/// Where a Krylov run stands, for checkpoints. After every product
///
///     K Q_m = Q T(:, 1 ... m),   Q = [Q_m, those that wait],  Q^T Q = I,
///
/// Q_m the first `multiplied` columns; the next block comes from those that wait (after a cold
/// start they are the next block). The first `locked` columns are converged Ritz vectors: they are
/// iterated no further, and T leaves out what couples them to the rest.
struct KrylovState {
  Index products = 0;  ///< K times one vector, so far
  Index restarts = 0;
  Matrix<double> basis{};       ///< Q in its first `columns` columns; this rank's rows
  Matrix<double> projection{};  ///< T in its leading columns x columns; the same on every rank
  Matrix<double> images{};      ///< K W of the 16 probe vectors, this rank's rows
  Index columns = 0, multiplied = 0, locked = 0;
  Index drawn = 0;    ///< random columns used so far
  Index settled = 0;  ///< locked columns of earlier runs, beside which a fresh block was started
  Index guard = 0;    ///< pairs beyond lambda_(k+1) that are to be located: 1 after a warm start
  Index converged = 0;
  Index next_check = 0;         ///< products at the next Rayleigh-Ritz step
  Index checked = 0;            ///< products at the last one
  double checked_residual = 0;  ///< largest wanted residual then, relative

  /// All numbers but the three matrices, for files; and back.
  std::vector<double> numbers() const;
  void set_numbers(std::span<const double> numbers);
};

struct KrylovOptions {
  Index top = 1;             ///< k
  double tolerance = 1e-10;  ///< |K v_i - lambda_i v_i| / lambda_1 of every pair; at least 1e-13
  Index block = 0;           ///< b; 0: chosen from n and k
  /// Most columns of Q before a thick restart; 0: chosen. At least k + 1 + 3 b are taken.
  Index basis = 0;
  double basis_bytes = 0;  ///< a rank, of everything that krylov_bytes() counts; 0: no limit
  Index max_products = 0;  ///< K times one vector; 0: chosen, several times what is expected
  /// What a product costs whatever its width, as the number of columns that cost as much: tiles
  /// that are computed again in every product. Makes the chosen block wider.
  double fixed_columns = 0;
  std::uint64_t seed = 0;
  /// The vectors are to be kept in single precision: they are rounded to it before residuals and
  /// |V^T V - I| are measured, so that both are those of what is kept.
  bool single_vectors = false;
  /// Warm start: this rank's rows of n x any number of vectors (need not be orthonormal; as many
  /// as the basis has room for are used, the first ones); best the k + 1 of warm_start(). The first
  /// block is they and b random columns; from then on the b directions that matter most to the
  /// wanted residuals are multiplied next. It saves up to two thirds of the products where the
  /// start's residuals are within about 1e3 times the tolerance; a much worse one saves nothing.
  /// Nothing counts as converged before the largest eigenvalue beside the wanted ones is known to
  /// 10 %, so that what the start lacks is found. May be empty.
  MatrixView<const double> start{};
  std::function<void(const std::string&)> say = {};  ///< from rank 0; may be empty
  /// Called after every product on all ranks with (products so far, converged pairs, largest
  /// residual of the wanted ones at the last Rayleigh-Ritz step): for progress. Must not
  /// communicate.
  std::function<void(Index, Index, double)> progress = {};
  /// Called after every product on all ranks with a state that krylov() can go on from. True, on
  /// all ranks alike: stop there (an interrupted run). Called once more, with the state before it,
  /// where a product is given up (Operator::apply); the run stops there whatever it returns.
  std::function<bool(const KrylovState&)> checkpoint = {};
  /// A state to go on from, of the same K, top, tolerance, block, basis and seed on as many ranks:
  /// the result then has the bits of an undisturbed run. Its matrices are moved away.
  KrylovState* resume = nullptr;
};

/// The top k eigenpairs of an operator, its vectors by rows.
struct TopPairs {
  Index n = 0;                   ///< rows of K
  std::vector<double> values{};  ///< lambda_1 >= ... >= lambda_k, the same bits on every rank
  double next = 0;               ///< lambda_(k+1), to the same tolerance; at k = n as in Eigenpairs
  Matrix<double> vectors{};      ///< this rank's rows x k; signs by the rule of signs.hpp
  Matrix<double> next_vector{};  ///< of lambda_(k+1), this rank's rows x 1; x 0 at k = n
  std::vector<double> residuals{};  ///< |K v_i - lambda_i v_i| / lambda_1, measured
  bool residuals_exact = false;     ///< false: estimated from 16 Gaussian probe columns
  double orthogonality = 0;         ///< max |V^T V - I|
  double trace = 0;                 ///< sum of the diagonal
  Index products = 0, restarts = 0, block = 0, basis = 0;
  std::string warning{};  ///< a cluster cut by k: which eigenvalues belong together; else empty
  bool finished = true;   ///< false: stopped by the checkpoint function; no pairs then
  double seconds = 0;

  Index k() const { return static_cast<Index>(values.size()); }
};

/// The top k eigenpairs of the symmetric K, k = options.top of 1 ... n, whatever their
/// multiplicities; k + 1 are converged, so that lambda_(k+1) is known. Every step multiplies a
/// block of b orthonormal vectors, makes the product orthonormal to all of Q (|Q^T Q - I| stays
/// below 1e-13), and now and then takes the Ritz pairs of T = Q^T K Q, whose residuals the coupling
/// to the next block gives. Directions that vanish (an invariant subspace, K = 0) are replaced by
/// random ones. At `basis` columns the wanted Ritz vectors and some more are kept; those that have
/// converged far enough are locked. A block of b random vectors meets at most b copies of an
/// eigenvalue: where b or more equal ones were found, a fresh random block beside all that was
/// found looks for more. The final residuals are measured with products of 16 Gaussian columns
/// that were formed with the first block.
///
/// Collective. Cost: 2 to 6 k products of K with one vector, 4 n m flops of orthogonalisation a
/// column at m columns of Q, and dense eigenproblems of order m on rank 0. Sent: sums of m b
/// numbers a step. Memory: krylov_bytes(). Throws InputError (options), MemoryError (basis_bytes),
/// RunError: products that are not finite, no convergence within max_products, residuals that the
/// measurement does not confirm (K is not symmetric); Error with the code `interrupted` where the
/// first product is given up, or one without a checkpoint function.
TopPairs krylov(const gram::Operator& K, const KrylovOptions& options);

/// The vectors of an earlier run, k + 1 of them where it has them, as KrylovOptions::start. Local.
Matrix<double> warm_start(const TopPairs& pairs);

/// What is chosen for n, options.top and the limits: block b and columns of the basis. Local.
struct KrylovSizes {
  Index block = 0, basis = 0;
};
KrylovSizes krylov_sizes(Index n, int ranks, const KrylovOptions& options);
/// Bytes of the rank that holds most (rank 0), beside the operator's own: Q, the block under way,
/// the k vectors, and T with the workspace of its eigenproblem. Local.
double krylov_bytes(Index n, Index k, int ranks, KrylovSizes sizes);

/// Exact residuals |K v_i - lambda_i v_i| / lambda_1 by one more product with all k vectors, in
/// panels of 128. Replaces the estimates. Collective.
void measure_residuals(const gram::Operator& K, TopPairs& pairs);

/// The same pairs on a process grid over the same ranks, as the direct solvers leave them, and
/// back. Collective. Memory: two more copies of this rank's share of the vectors.
template <class T>
Eigenpairs<T> on_grid(const TopPairs& pairs, Index n, const dist::ProcessGrid& grid, Index nb);
template <class T>
TopPairs by_rows(const Eigenpairs<T>& pairs);

}  // namespace mercer::spectral
