#include <algorithm>
#include <cmath>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/net/empirical.hpp"
#include "training_observers.hpp"

namespace mercer::jobs {
namespace {

/// Columns `which` of A.
template <class T>
Matrix<T> converted(MatrixView<const double> A, const std::vector<Index>& which) {
  Matrix<T> B(A.rows, std::ssize(which));
  for (Index j = 0; j < B.cols(); ++j)
    for (Index i = 0; i < A.rows; ++i)
      B(i, j) = static_cast<T>(A(i, which[static_cast<std::size_t>(j)]));
  return B;
}

/// The local rows that have targets.
std::vector<Index> known_rows(const data::Dataset& set) {
  std::vector<Index> which;
  for (Index i = 0; i < set.inputs.local_rows(); ++i)
    if (set.known(i)) which.push_back(i);
  return which;
}

double square_sum(const Matrix<double>& A) {
  double sum = 0;
  for (Index i = 0; i < A.size(); ++i) sum += A.data()[i] * A.data()[i];
  return sum;
}

}  // namespace

template <class T>
TestObserver<T>::TestObserver(const net::Network& network, const data::Dataset& test,
                              const TestFunctions* functions, std::span<const T> w_0)
    : comm_(test.inputs.comm()),
      trace_(functions != nullptr ? &functions->trace : nullptr),
      evaluator_(network, test.inputs.local_rows(), kTestMemory),
      X_(converted<T>(test.inputs.transposed(), known_rows(test))),
      Y_(converted<T>(test.targets.transposed(), known_rows(test))),
      F_(test.outputs(), X_.cols()),
      R_(test.outputs(), X_.cols()),
      rows_(static_cast<double>(test.known_rows)),
      outputs_(static_cast<double>(test.outputs())) {
  if (functions == nullptr) return;
  phi_ = converted<double>(functions->values.transposed(), known_rows(test));
  residual(w_0);
  start_ = coefficients(*trace_, project());
  R_0_ = Matrix<double>(R_.rows(), R_.cols());
  std::copy_n(R_.data(), R_.size(), R_0_.data());
}

template <class T>
void TestObserver<T>::residual(std::span<const T> w) {
  evaluator_.outputs(w, X_.view(), F_.view());
  for (Index i = 0; i < F_.size(); ++i)
    R_.data()[i] = static_cast<double>(F_.data()[i]) - static_cast<double>(Y_.data()[i]);
}

template <class T>
void TestObserver<T>::complete(std::span<const T> w, train::Record& record) {
  residual(w);
  record.loss_test = comm_.all_reduce(square_sum(R_), comm::Op::sum) / (rows_ * outputs_);
  if (trace_ == nullptr) return;
  record.projection = project();
  record.deviation = deviation(record);
}

template <class T>
double TestObserver<T>::largest_residual(std::span<const T> w) {
  residual(w);
  double largest = 0;
  for (Index i = 0; i < R_.cols(); ++i) {
    double square = 0;
    for (Index o = 0; o < R_.rows(); ++o) square += R_(o, i) * R_(o, i);
    largest = std::max(largest, std::sqrt(square));
  }
  return comm_.all_reduce(largest, comm::Op::max);
}

/// (1/m) sum over the rows of r phi_i, c numbers for each i.
template <class T>
std::vector<double> TestObserver<T>::project() const {
  Matrix<double> P(R_.rows(), phi_.rows(), 0.0);
  blas::gemm<double>(blas::Trans::no, blas::Trans::yes, 1 / rows_, R_.view(), phi_.view(), 0.0,
                     P.view());
  std::vector<double> all(P.data(), P.data() + P.size());
  comm_.all_reduce(std::span<double>(all), comm::Op::sum);
  return all;
}

/// Mean of |r_t - e^(-T t) r_0|^2, where e^(-T t) r_0 = r_0 - sum (1 - decay_i) a_i phi_i over these
/// functions, a the coefficients of r_0: what lies in others is taken as unchanged.
template <class T>
double TestObserver<T>::deviation(const train::Record& record) const {
  Matrix<double> A(R_.rows(), phi_.rows()), D(R_.rows(), R_.cols());
  for (Index i = 0; i < A.cols(); ++i)
    for (Index a = 0; a < A.rows(); ++a)
      A(a, i) = (1 - record.decay[trace_->place[static_cast<std::size_t>(i)]]) *
                start_[static_cast<std::size_t>(i * A.rows() + a)];
  for (Index i = 0; i < D.size(); ++i) D.data()[i] = R_.data()[i] - R_0_.data()[i];
  blas::gemm<double>(blas::Trans::no, blas::Trans::no, 1.0, A.view(), phi_.view(), 1.0, D.view());
  return comm_.all_reduce(square_sum(D), comm::Op::sum) / rows_;
}

template class TestObserver<double>;
template class TestObserver<float>;

namespace {

/// The mean of (k - k_0)^2 over the pairs of different rows, and its standard error: that of the
/// rows' own means, each pair counting for two of them.
void note_difference(const dist::DistMatrix<double>& D, FunctionTrace& trace) {
  const Index m = D.rows();
  std::vector<double> sums(static_cast<std::size_t>(m), 0.0);
  for (Index j = 0; j < D.local_cols(); ++j)
    for (Index i = 0; i < D.local_rows(); ++i) {
      const Index row = D.row_map().global({i}).value;
      const Index col = D.col_map().global({j}).value;
      const double d = D(LocalIndex{i}, LocalIndex{j});
      if (row != col) sums[static_cast<std::size_t>(row)] += d * d;
    }
  D.grid().all().all_reduce(std::span<double>(sums), comm::Op::sum);
  const double others = static_cast<double>(m - 1), all = static_cast<double>(m);
  double mean = 0, variance = 0;
  for (const double s : sums) mean += s / others / all;
  for (const double s : sums) variance += (s / others - mean) * (s / others - mean);
  trace.kernel_difference = mean;
  trace.kernel_difference_error = 2 * std::sqrt(variance) / all;
}

}  // namespace

void note_kernel_difference(const net::Network& network, const std::vector<double>& w_0,
                            const data::Dataset& test, const dist::ProcessGrid& grid,
                            std::uint64_t seed, FunctionTrace& trace) {
  constexpr Index kRows = 512, kImages = 128;  // pairs of images cost a thousand times as much
  const auto limit = limit_of(network);
  const Index most = network.architecture().of_images() ? kImages : kRows;
  trace.pair_rows = std::min(test.rows(), most);
  trace.kernel_difference = trace.kernel_difference_error = KernelStart::kUnknown;
  if (limit.kernel == nullptr || trace.pair_rows < 2) return;
  const auto sample = train::sample_rows(test.rows(), trace.pair_rows, seed);
  const auto Z = train::select_rows(test.inputs, sample.rows);
  const gram::Options how{.nb = spectral::recommended_block(trace.pair_rows, grid.shape()),
                          .over_n = false};
  auto D = gram::assemble<double>(*limit.kernel, Z, grid, how);
  const auto K_0 = gram::assemble<double>(*net::empirical_kernel(network, w_0), Z, grid, how);
  for (Index j = 0; j < D.local_cols(); ++j)
    for (Index i = 0; i < D.local_rows(); ++i)
      D(LocalIndex{i}, LocalIndex{j}) =
          limit.scale * D(LocalIndex{i}, LocalIndex{j}) - K_0(LocalIndex{i}, LocalIndex{j});
  note_difference(D, trace);
}

std::vector<double> inverse_gram(const data::Dataset& test, const dist::RowBlock<double>& Phi) {
  const auto phi = converted<double>(Phi.transposed(), known_rows(test));
  const Index k = phi.rows();
  const auto rows = static_cast<double>(test.known_rows);
  Matrix<double> G(k, k), inverse_R(k, k, 0.0), result(k, k);
  blas::gemm<double>(blas::Trans::no, blas::Trans::yes, 1 / rows, phi.view(), phi.view(), 0.0,
                     G.view());
  test.inputs.comm().all_reduce(std::span<double>(G.data(), static_cast<std::size_t>(G.size())),
                                comm::Op::sum);
  double largest = 0, least = std::numeric_limits<double>::infinity();  // pivots
  for (Index i = 0; i < k; ++i) largest = std::max(largest, G(i, i));
  const bool positive = test.known_rows >= k && blas::cholesky(G.view());
  for (Index i = 0; i < k; ++i) least = std::min(least, G(i, i) * G(i, i));
  if (!positive || !(least > 1e-12 * static_cast<double>(k) * largest))
    throw InputError(
        "`eigenfunctions`: {} functions take at least as many different test rows with targets, "
        "there are {} rows{}: give more rows or fewer functions",
        k, test.known_rows, test.known_rows < k ? "" : ", but fewer different ones");
  for (Index i = 0; i < k; ++i) inverse_R(i, i) = 1;
  blas::solve_right<double>(G.view(), inverse_R.view());
  blas::gemm<double>(blas::Trans::no, blas::Trans::yes, 1.0, inverse_R.view(), inverse_R.view(),
                     0.0, result.view());
  return {result.data(), result.data() + result.size()};
}

}  // namespace mercer::jobs
