#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "mercer/gram/operator.hpp"
#include "mercer/spectral/eigenpairs.hpp"

/// The top eigenpairs of a matrix of which only products are available: block Lanczos with full
/// reorthogonalisation and thick restarts. Golub and Underwood, "The block Lanczos method for
/// computing eigenvalues" (1977); Wu and Simon, "Thick-restart Lanczos method for large symmetric
/// eigenvalue problems", SIAM J. Matrix Anal. Appl. 22 (2000); for the random start and its block
/// width: Musco and Musco, "Randomized block Krylov methods", arXiv 1504.05477.
namespace mercer::spectral {

/// The state of a Krylov run, for checkpoints. After every product
///
///     K Q_m = Q T(:, 1 ... m),   Q = [Q_m, Q_w],  Q^T Q = I,
///
/// Q_m the first `multiplied` columns of Q, Q_w the columns waiting to be multiplied, from which
/// the next block is taken (after a cold start they are the next block). The first `locked` columns
/// are converged Ritz vectors: they are iterated no further, and T leaves out their coupling to the
/// rest.
struct KrylovState {
  Index products = 0;  ///< matrix-vector products so far (a block of b vectors counts b)
  Index restarts = 0;
  Matrix<double> basis{};       ///< Q in its first `columns` columns; this rank's rows
  Matrix<double> projection{};  ///< T in its leading columns x columns; the same on every rank
  Matrix<double> images{};      ///< K W of the 16 probe vectors, this rank's rows
  Index columns = 0, multiplied = 0, locked = 0;
  Index drawn = 0;       ///< random columns used so far
  Index settled = 0;     ///< locked columns found before the last fresh random block was started
  Index guard = 0;       ///< pairs beyond lambda_(k+1) that must be located: 1 after a warm start
  Index converged = 0;   ///< wanted pairs, not locked, that had converged at the last check
  Index next_check = 0;  ///< `products` at which the next Rayleigh-Ritz step (check) is due
  Index checked = 0;     ///< `products` at the last one
  double checked_residual = 0;  ///< largest wanted residual at the last one, relative to lambda_1

  /// All members except the three matrices, for files; and back (throws InputError where `numbers`
  /// has another length). Local.
  std::vector<double> numbers() const;
  void set_numbers(std::span<const double> numbers);
};

struct KrylovOptions {
  Index top = 1;             ///< k
  double tolerance = 1e-10;  ///< for |K v_i - lambda_i v_i| / lambda_1 of every pair; >= 1e-13
  Index block = 0;           ///< b; 0: chosen from n and k
  /// Most columns of Q before a thick restart; 0: chosen. At least k + 1 + 3 b are taken.
  Index basis = 0;
  double basis_bytes = 0;  ///< limit a rank on what krylov_bytes() counts; 0: no limit
  Index max_products = 0;  ///< matrix-vector products; 0: chosen, several times what is expected
  /// The cost of a product that does not depend on its width (tiles that are computed again), as
  /// the number of columns that cost as much. Makes the chosen block wider.
  double fixed_columns = 0;
  std::uint64_t seed = 0;
  /// The caller stores the vectors in single precision: they are rounded to it before residuals and
  /// |V^T V - I| are measured, so that both hold for the stored vectors.
  bool single_vectors = false;
  /// Warm start: this rank's rows of any number of vectors, best the k + 1 of warm_start(). They
  /// need not be orthonormal; the first ones that the basis has room for are used. The first block
  /// consists of them and b random columns; later blocks are the b waiting directions that are
  /// coupled most strongly to the wanted pairs. Saves up to two thirds of the products where the
  /// residuals of the start are within about 1e3 times the tolerance, nothing where they are much
  /// worse. The run does not end before the largest eigenvalue beyond the wanted ones is known to
  /// 10 %, so that pairs which the start lacks are found. May be empty.
  MatrixView<const double> start{};
  std::function<void(const std::string&)> say = {};  ///< from rank 0; may be empty
  /// For progress: called after every block product on all ranks with (products so far, converged
  /// pairs, largest residual of the wanted pairs at the last Rayleigh-Ritz step). May be empty;
  /// must not communicate.
  std::function<void(Index, Index, double)> progress = {};
  /// Called after every block product on all ranks with a state that krylov() can resume from.
  /// Returns true, on all ranks alike, to stop there. Where a product is given up
  /// (Operator::apply) it is called once more, with the state before that product, and the run
  /// stops whatever it returns. May be empty.
  std::function<bool(const KrylovState&)> checkpoint = {};
  /// A state to resume from, of the same K, top, tolerance, block, basis and seed on the same
  /// number of ranks: the result has the same bits as an uninterrupted run. Its matrices are moved
  /// out.
  KrylovState* resume = nullptr;
};

/// The top k eigenpairs of an operator, the vectors distributed by rows.
struct TopPairs {
  Index n = 0;                      ///< rows of K
  std::vector<double> values{};     ///< lambda_1 >= ... >= lambda_k, the same bits on every rank
  double next = 0;                  ///< lambda_(k+1), to the same tolerance; at k = n lambda_n
  Matrix<double> vectors{};         ///< this rank's rows x k; signs by the rule of signs.hpp
  Matrix<double> next_vector{};     ///< of lambda_(k+1), this rank's rows x 1; x 0 at k = n
  std::vector<double> residuals{};  ///< |K v_i - lambda_i v_i| / lambda_1, measured
  bool residuals_exact = false;     ///< false: estimated from 16 Gaussian probe columns
  double orthogonality = 0;         ///< max |V^T V - I|
  double trace = 0;                 ///< sum of the diagonal
  Index products = 0, restarts = 0, block = 0, basis = 0;
  std::string warning{};  ///< where k cuts a cluster of eigenvalues: which ones; else empty
  bool finished = true;   ///< false: stopped by the checkpoint function, without pairs
  double seconds = 0;

  Index k() const { return static_cast<Index>(values.size()); }
};

/// The top k eigenpairs of the symmetric K, k = options.top in 1 ... n, whatever their
/// multiplicities; k + 1 pairs are converged, so that lambda_(k+1) is known. Every step multiplies
/// a block of b orthonormal vectors and makes the product orthonormal to all of Q (|Q^T Q - I|
/// stays below 1e-13). Now and then a Rayleigh-Ritz step computes the Ritz pairs of T = Q^T K Q,
/// whose residuals follow from the coupling to the waiting columns. Directions that vanish (an
/// invariant subspace, K = 0) are replaced by random ones. At `basis` columns the run restarts with
/// the wanted Ritz vectors and some more; those that have converged far enough are locked. A block
/// of b random vectors finds at most b copies of an eigenvalue: where b or more equal ones were
/// found, the run goes on with a fresh random block orthogonal to all that was found. The final
/// residuals are estimated with K times 16 Gaussian columns, formed together with the first block
/// product.
///
/// Collective. Cost: 2 k to 6 k matrix-vector products, 4 n m flops of orthogonalisation a column
/// at m columns of Q, and dense eigenproblems of order m (replicated.hpp). Sent: sums of m b
/// numbers over the ranks a step. Memory: krylov_bytes(). Throws InputError (options), MemoryError
/// (basis_bytes), RunError (products that are not finite, no convergence within max_products, final
/// residuals above the tolerance, as where K is not symmetric), and Error with the code
/// `interrupted` where a product is given up and it was the first one or there is no checkpoint
/// function.
TopPairs krylov(const gram::Operator& K, const KrylovOptions& options);

/// The vectors of an earlier run, with next_vector where it has one, as KrylovOptions::start.
/// Local.
Matrix<double> warm_start(const TopPairs& pairs);

/// The block b and the columns of the basis that krylov() uses for n, options.top and the limits.
/// Local. Throws MemoryError where the smallest basis exceeds options.basis_bytes.
struct KrylovSizes {
  Index block = 0, basis = 0;
};
KrylovSizes krylov_sizes(Index n, int ranks, const KrylovOptions& options);
/// Bytes of the rank that holds most (rank 0), besides the operator's own: Q, the block being
/// multiplied, the probes, the k vectors, and T with the workspace of its eigenproblem. Local.
double krylov_bytes(Index n, Index k, int ranks, KrylovSizes sizes);

/// Replaces the estimated residuals by exact ones, |K v_i - lambda_i v_i| / lambda_1, from k more
/// matrix-vector products in blocks of 128. Collective. Throws InputError where the shapes do not
/// match K.
void measure_residuals(const gram::Operator& K, TopPairs& pairs);

/// The same pairs on a process grid over the same ranks, distributed as the direct solvers leave
/// them (n = K's rows), and back (without next_vector). Collective. Memory: two more copies of this
/// rank's share of the vectors. on_grid() throws InputError where the vectors are not n x k.
template <class T>
Eigenpairs<T> on_grid(const TopPairs& pairs, Index n, const dist::ProcessGrid& grid, Index nb);
template <class T>
TopPairs by_rows(const Eigenpairs<T>& pairs);

}  // namespace mercer::spectral
