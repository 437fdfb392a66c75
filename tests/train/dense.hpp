#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "mercer/blas/blas.hpp"
#include "mercer/la/scalapack.hpp"
#include "mercer/train/descend.hpp"
#include "mercer/train/parameter_preconditioner.hpp"
#include "mercer/train/rate.hpp"
#include "support/oracles.hpp"

namespace mercer::test {

/// A small training problem that every rank holds as a whole, with an S of k orthonormal vectors
/// (columns of a reflection) and given eigenvalues 1 + c_i: the dense twin of what is distributed.
struct DenseProblem {
  net::Network network;
  Index n;
  Matrix<double> X, Y, V;  ///< d x n, c x n, k x n
  std::vector<double> coefficients;
  std::vector<double> w;

  Index outputs() const { return network.outputs(); }
  Index entries() const { return n * outputs(); }

  /// This rank's rows.
  template <class T = double>
  train::RowSet<T> part(const comm::Communicator& comm) const {
    const dist::RowPartition rows{n, comm.size()};
    const Index first = rows.begin(comm.rank()), m = rows.size(comm.rank());
    const auto columns = [&](const Matrix<double>& A) {
      Matrix<T> B(A.rows(), m);
      for (Index j = 0; j < m; ++j)
        for (Index i = 0; i < A.rows(); ++i) B(i, j) = static_cast<T>(A(i, first + j));
      return B;
    };
    msk::Preconditioner<T> S;
    if (!coefficients.empty()) S = msk::Preconditioner<T>(columns(V), coefficients);
    return {n, first, columns(X), columns(Y), std::move(S)};
  }
  template <class T = double>
  std::vector<train::RowSet<T>> parts(const comm::Communicator& comm) const {
    std::vector<train::RowSet<T>> sets;
    sets.push_back(part<T>(comm));
    return sets;
  }

  /// f(X; w) - Y, c x n.
  Matrix<double> residual(const std::vector<double>& at) const {
    net::Evaluator<double> evaluator(network, n);
    Matrix<double> R(outputs(), n);
    evaluator.outputs(at, X.view(), R.view());
    for (Index i = 0; i < R.size(); ++i) R.data()[i] -= Y.data()[i];
    return R;
  }
  /// Row e of J, e = a + j c for output a of row j, as column e: p x (n c), by one-hot seeds.
  Matrix<double> jacobian(const std::vector<double>& at) const {
    net::Evaluator<double> evaluator(network, n);
    const Index p = network.parameters();
    Matrix<double> J(p, entries());
    for (Index e = 0; e < entries(); ++e) {
      Matrix<double> seed(outputs(), n, 0.0);
      seed.data()[e] = 1;
      evaluator.gradient(at, X.view(), seed.view(),
                         std::span<double>(J.column(e), static_cast<std::size_t>(p)), false);
    }
    return J;
  }
  /// S^power on residuals laid out as above, (n c) x (n c), for an S that is the same for every
  /// output.
  Matrix<double> S(double power = 1) const {
    const Index c = outputs();
    Matrix<double> dense(entries(), entries(), 0.0);
    for (Index j = 0; j < n; ++j)
      for (Index i = 0; i < n; ++i) {
        double s = i == j ? 1 : 0;
        for (Index v = 0; v < V.rows(); ++v)
          s += V(v, i) * V(v, j) *
               (std::pow(1 + coefficients[static_cast<std::size_t>(v)], power) - 1);
        for (Index a = 0; a < c; ++a) dense(a + i * c, a + j * c) = s;
      }
    return dense;
  }
};

inline Matrix<double> product(const Matrix<double>& A, const Matrix<double>& B, bool transpose_A) {
  Matrix<double> C(transpose_A ? A.cols() : A.rows(), B.cols(), 0.0);
  for (Index j = 0; j < C.cols(); ++j)
    for (Index i = 0; i < C.rows(); ++i)
      for (Index k = 0; k < B.rows(); ++k) C(i, j) += (transpose_A ? A(k, i) : A(i, k)) * B(k, j);
  return C;
}

/// Rows on a sphere of radius sqrt(d), smooth targets of the given amplitude.
inline DenseProblem dense_problem(const std::string& architecture, Index n, Index d, Index outputs,
                                  std::vector<double> coefficients, double amplitude = 1,
                                  net::Start start = net::Start::antisymmetric) {
  arch::Options scales;
  scales.bias_std = 0.5;
  DenseProblem problem{
      net::Network(arch::parse(architecture, scales), d, net::Parametrization::ntk, start),
      n,
      Matrix<double>(d, n),
      Matrix<double>(outputs, n),
      Matrix<double>(static_cast<Index>(coefficients.size()), n),
      coefficients,
      {}};
  const Random random(7, Stream::test);
  for (Index j = 0; j < n; ++j) {
    double square = 0;
    for (Index i = 0; i < d; ++i) {
      problem.X(i, j) = random.normal(static_cast<std::uint64_t>(i + j * d));
      square += problem.X(i, j) * problem.X(i, j);
    }
    for (Index i = 0; i < d; ++i) problem.X(i, j) *= std::sqrt(static_cast<double>(d) / square);
    for (Index a = 0; a < outputs; ++a)
      problem.Y(a, j) = amplitude * std::sin(2 * problem.X(0, j) + static_cast<double>(a));
  }
  const HouseholderMatrix reflection(std::vector<double>(static_cast<std::size_t>(n), 1.0), 5);
  for (Index j = 0; j < n; ++j)
    for (Index v = 0; v < problem.V.rows(); ++v) problem.V(v, j) = reflection.eigenvector(j, v);
  problem.w = problem.network.initial<double>(11);
  return problem;
}

/// An S as eq. 14 of [G] makes it: its top eigenvalues small, growing to 1.
inline std::vector<double> flattening(Index k) {
  std::vector<double> c;
  for (Index i = 0; i < k; ++i)
    c.push_back(0.02 + 0.9 * static_cast<double>(i) / static_cast<double>(k) - 1);
  return c;
}

/// Takes for S the inverse of J J^T at w_0 on all of its eigenvectors (up to a factor): theory says
/// that one step is enough. For one output.
inline void precondition_by_inverse(DenseProblem& problem) {
  const auto J = problem.jacobian(problem.w);
  auto vectors = product(J, J, true);
  const auto lambda = blas::syevd(vectors.view());
  problem.V = Matrix<double>(problem.n, problem.n);
  problem.coefficients.clear();
  for (Index v = 0; v < problem.n; ++v) {
    for (Index j = 0; j < problem.n; ++j) problem.V(v, j) = vectors(j, v);
    problem.coefficients.push_back(1 / lambda[static_cast<std::size_t>(v)] - 1);
  }
}

/// The top k pairs of K_0 = J J^T/n at w_0 on one rank: V is (n c) x k, row a + j c for output a of
/// row j; g is flat at lambda_(k+1).
struct OwnPairs {
  Matrix<double> J;  ///< p x (n c), as DenseProblem::jacobian()
  Matrix<double> V;
  std::vector<double> lambda, coefficients;
  double next = 0;

  OwnPairs(const DenseProblem& problem, Index k) : J(problem.jacobian(problem.w)) {
    auto vectors = product(J, J, true);
    const auto n = static_cast<double>(problem.n);
    const auto values = blas::syevd(vectors.view());  // ascending
    const Index entries = problem.entries();
    V = Matrix<double>(entries, k);
    next = values[static_cast<std::size_t>(entries - 1 - k)] / n;
    for (Index i = 0; i < k; ++i) {
      lambda.push_back(values[static_cast<std::size_t>(entries - 1 - i)] / n);
      coefficients.push_back(next / lambda.back() - 1);
      std::copy_n(vectors.column(entries - 1 - i), entries, V.column(i));
    }
  }
  /// max over rows and outputs of j.(P j).
  double beta(const DenseProblem& problem) const {
    double largest = 0;
    for (Index e = 0; e < problem.entries(); ++e) {
      double square = 0;
      for (Index i = 0; i < J.rows(); ++i) square += J(i, e) * J(i, e);
      for (Index i = 0; i < V.cols(); ++i)
        square += coefficients[static_cast<std::size_t>(i)] * static_cast<double>(problem.n) *
                  lambda[static_cast<std::size_t>(i)] * V(e, i) * V(e, i);
      largest = std::max(largest, square);
    }
    return largest;
  }
};

/// S on the parameters by those pairs.
template <class T = double>
train::ParameterPreconditioner<T> on_parameters(const comm::Communicator& comm,
                                                const DenseProblem& problem,
                                                const OwnPairs& pairs) {
  const dist::RowPartition part{problem.n, comm.size()};
  const Index c = problem.outputs(), first = part.begin(comm.rank()), m = part.size(comm.rank());
  train::PairRows<T> rows{.X = problem.part<T>(comm).X, .V = Matrix<T>(c * m, pairs.V.cols())};
  for (Index i = 0; i < pairs.V.cols(); ++i) {
    rows.norm.push_back(
        std::sqrt(static_cast<double>(problem.n) * pairs.lambda[static_cast<std::size_t>(i)]));
    for (Index e = 0; e < c * m; ++e) rows.V(e, i) = static_cast<T>(pairs.V(c * first + e, i));
  }
  const std::vector<T> w(problem.w.begin(), problem.w.end());
  const train::BoundRows<T> none{Matrix<T>(problem.X.rows(), 0), Matrix<double>(c, 0)};
  return train::parameter_preconditioner<T>(comm, problem.network, w, rows, pairs.coefficients,
                                            {pairs.beta(problem), pairs.next}, none);
}

/// The sets of `problem`, with S on the parameters, k modes, in place of its own S.
inline std::vector<train::RowSet<double>> parameter_sets(const comm::Communicator& comm,
                                                         const DenseProblem& problem, Index k) {
  auto sets = problem.parts(comm);
  sets[0].S = {};
  sets[0].P = on_parameters(comm, problem, OwnPairs(problem, k));
  return sets;
}

template <class T>
train::State<T> start(const DenseProblem& problem) {
  train::State<T> state;
  for (const double x : problem.w) state.w.push_back(static_cast<T>(x));
  return state;
}

struct Trained {
  train::State<double> state;
  train::Outcome outcome;
};

/// Trains from w_0 on `comm`.
inline Trained train_on(const comm::Communicator& comm, const DenseProblem& problem,
                        const train::Options& options, const train::Hooks<double>& hooks = {}) {
  auto sets = problem.parts(comm);
  Trained trained{start<double>(problem), {}};
  trained.outcome = train::descend<double>(comm, problem.network, sets, trained.state, problem.w,
                                           options, {}, hooks);
  return trained;
}

/// What --lr auto takes for its first step.
inline double automatic_rate(const comm::Communicator& comm, const DenseProblem& problem) {
  net::Evaluator<double> evaluator(problem.network, problem.n);
  const auto rows = problem.part(comm);
  return 1 / train::largest_eigenvalue<double>(comm, evaluator, problem.w, rows, 0).lambda_max;
}

/// Two hidden layers, two outputs, 23 rows: no number of ranks divides them.
inline DenseProblem odd_problem(std::vector<double> coefficients = flattening(6)) {
  return dense_problem("dense(12) tanh dense(9) relu dense(2)", 23, 3, 2, std::move(coefficients));
}

/// The largest |a_i - b_i|, NaN as soon as one is; both must have as many entries.
inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;
    if (std::isnan(difference)) return difference;
  }
  return largest;
}

}  // namespace mercer::test
