// S on the parameters: sample -> K_0 of its rows and outputs -> eigenpairs -> g -> Psi, beta.

#include <algorithm>
#include <cmath>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/base/text.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/net/empirical.hpp"
#include "training_parts.hpp"

namespace mercer::jobs {
namespace {

using dist::RowBlock;

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// The entries (row, output) of a sample that belong to this rank, and the rows that they are of.
struct OwnEntries {
  Index first = 0, count = 0;  ///< of the s c entries, entry = row c + output
  std::vector<Index> rows{};   ///< of the sample, ascending
  Index skipped = 0;           ///< entries of rows.front() before `first`

  OwnEntries(const comm::Communicator& comm, Index sample, Index outputs) {
    const dist::RowPartition part{sample * outputs, comm.size()};
    first = part.begin(comm.rank());
    count = part.size(comm.rank());
    for (Index row = first / outputs; count > 0 && row * outputs < first + count; ++row)
      rows.push_back(row);
    skipped = first % outputs;
  }
};

template <class T>
Matrix<T> converted(const Matrix<double>& A) {
  Matrix<T> B(A.rows(), A.cols());
  std::transform(A.data(), A.data() + A.size(), B.data(),
                 [](double x) { return static_cast<T>(x); });
  return B;
}

/// |j|^2 of the row j of J for each output of the rows X (d x m): c x m. Local. Memory: the
/// prepared rows of a piece.
Matrix<double> squared_rows(const net::Network& network, const std::vector<double>& w,
                            MatrixView<const double> X) {
  const auto kernel = net::empirical_kernel(network, w, net::Outputs::full);
  const Index c = network.outputs(), d = X.rows, piece = std::max<Index>(1, 512 / c);
  Matrix<double> result(c, X.cols);
  for (Index first = 0; first < X.cols; first += piece) {
    const Index m = std::min(piece, X.cols - first);
    Matrix<double> seeded(d + c, m * c, 0.0);
    for (Index e = 0; e < m * c; ++e) {
      std::copy_n(X.column(first + e / c), d, seeded.column(e));
      seeded(d + e % c, e) = 1;
    }
    const auto rows = kernel->prepare(std::move(seeded));
    kernel->diagonal(*rows, 0, m * c, result.column(first));
  }
  return result;
}

/// max of D over all ranks; infinite where an entry is NaN. Collective.
double largest_of(const comm::Communicator& comm, std::span<const double> D) {
  double largest = 0;
  for (const double x : D)
    if (!(x <= largest)) largest = std::isnan(x) ? INFINITY : x;
  return comm.all_reduce(largest, comm::Op::max);
}

/// max(max_(i<=k) g_i, lambda_(k+1)).
double tail_of(const msk::ModifiedSpectrum& spectrum) {
  return std::max(*std::ranges::max_element(spectrum.g), spectrum.next);
}

/// Throws InputError where more eigenvalues are asked for than K_0 of the sampled rows has.
void check_rank(const TrainingOptions& options, const msk::Cut& cut, Index sample, Index n) {
  if (options.top < 0 || cut.spectrum.left_out == 0) return;
  const bool part = sample < n;
  throw InputError("`top` {}: K_0{} has only {} above {:.0e} lambda_1: give at most that{}",
                   options.top, part ? fmt::format(" of {} rows of {}", sample, n) : "",
                   counted(cut.k - cut.spectrum.left_out, "eigenvalue"), cut.spectrum.tolerance,
                   part ? ", or a larger `sample`" : "");
}

}  // namespace

ParameterModes::ParameterModes(const msk::ModifiedSpectrum& spectrum) {
  const auto ratio = spectrum.ratio();
  for (std::size_t i = 0; i < ratio.size(); ++i) {
    if (ratio[i] == 1) continue;
    columns.push_back(static_cast<Index>(i));
    coefficients.push_back(ratio[i] - 1);
    lambda.push_back(spectrum.lambda[i]);
  }
}

/// The pairs of K_0 for the sample's rows and outputs, with g on the first `top`; without S
/// lambda_1 alone. K of the s c entries is divided by s c, K_0 by s: its eigenvalues are c times
/// those of K.
template <class T>
typename TrainingPairs<T>::Pairs TrainingPairs<T>::sampled_pairs(
    const std::vector<double>& parameters) {
  const auto& comm = grid_.all();
  const Index c = network_.outputs(), N = sample_.rows() * c;
  const bool S_asked = options_.on_parameters();
  const auto kernel = gram::Source::function(net::empirical_kernel(
      network_, parameters, c > 1 ? net::Outputs::full : net::Outputs::trace));
  const auto X =
      c > 1 ? net::seeded_rows(sample_, c) : comm::together(comm, [&] { return sample_.copy(); });
  const auto g = msk::SpectrumMap::parse(S_asked ? options_.g : "identity");
  const Index top = !S_asked ? 1 : options_.top < 0 ? N : std::min(options_.top, N);
  PairSolver solve(S_asked ? plan_.pairs : SpectrumStrategy{}, options_.method, kernel, X, grid_,
                   plan_.nb_asked, plan_.seed, monitor_);
  auto found = cut(g, top, top, N, solve, static_cast<double>(c));
  if (!S_asked) return found;
  ++solved_;
  check_rank(options_, found.cut, sample_.rows(), train_.inputs.rows());
  return found;
}

/// The rows of `pairs` that this rank holds; beta <- the largest j.(P j) of the sample's rows.
template <class T>
train::PairRows<T> TrainingPairs<T>::pair_rows(const std::vector<double>& parameters,
                                               const spectral::TopPairs& pairs,
                                               const ParameterModes& modes, double& beta) const {
  const auto& comm = grid_.all();
  const Index c = network_.outputs(), s = sample_.rows(), k = std::ssize(modes.columns);
  const OwnEntries own(comm, s, c);
  const auto rows = dist::fetch_rows<double>(sample_, own.rows);
  train::PairRows<T> result;
  auto D = comm::together(comm, [&] {
    result.X = converted<T>(rows);
    result.V = Matrix<T>(rows.cols() * c, k, T{0});
    return squared_rows(network_, parameters, rows.view());
  });
  const std::span<double> of_own(D.data() + own.skipped, at(own.count));
  for (Index i = 0; i < k; ++i) {
    const double* v = pairs.vectors.column(modes.columns[at(i)]);
    const double square = static_cast<double>(s) * modes.lambda[at(i)];
    result.norm.push_back(std::sqrt(square));
    for (Index e = 0; e < own.count; ++e) {
      result.V(own.skipped + e, i) = static_cast<T>(v[e]);
      of_own[at(e)] += modes.coefficients[at(i)] * square * v[e] * v[e];
    }
  }
  beta = largest_of(comm, of_own);
  return result;
}

template <class T>
train::ParameterPreconditioner<T> TrainingPairs<T>::on_parameters(std::span<const T> w,
                                                                  bool report) {
  const auto& comm = grid_.all();
  const std::vector<double> parameters(w.begin(), w.end());
  const auto [pairs, cut] = sampled_pairs(parameters);
  const Index c = network_.outputs(), s = sample_.rows(), batch = batch_rows();
  const bool S_asked = options_.on_parameters();
  if (S_asked && report)
    report_cut(monitor_, msk::SpectrumMap::parse(options_.g), cut, s * c, " of K_0");
  const ParameterModes modes(cut.spectrum);
  train::BatchBound bound{.tail = tail_of(cut.spectrum)};
  const auto rows = pair_rows(parameters, pairs, modes, bound.beta);
  const auto more = comm::together(comm, [&] {
    const auto Z = others_.transposed();
    Matrix<double> copy(Z.rows, Z.cols);
    std::copy_n(Z.data, copy.size(), copy.data());
    return train::BoundRows<T>{converted<T>(copy), squared_rows(network_, parameters, Z)};
  });
  auto P = monitor_.phase("psi", [&] {
    return train::parameter_preconditioner<T>(comm, network_, w, rows, modes.coefficients, bound,
                                              more, plan_.activation_bytes);
  });
  if (report)
    monitor_.log(
        "batches",
        fmt::format("{} of {}{}: beta {:.4g}, lambda {:.4g}, rate {:.4g} of batches of {}",
                    S_asked ? "S on the parameters, from K_0" : "lambda_1 of K_0",
                    counted(s, "row"), c > 1 ? fmt::format(" x {} outputs", c) : "", P.bound().beta,
                    P.bound().tail, P.bound().rate(batch), counted(batch, "row")));
  return P;
}

template <class T>
Index TrainingPairs<T>::batch_rows() const {
  const Index n = train_.rows();
  return ceil_div(n, options_.descent.pieces(n));
}

template class TrainingPairs<double>;
template class TrainingPairs<float>;

}  // namespace mercer::jobs
