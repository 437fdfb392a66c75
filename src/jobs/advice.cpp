#include "mercer/jobs/advice.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>

#include "mercer/base/error.hpp"
#include "mercer/base/text.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/dist/rows.hpp"
#include "mercer/net/empirical.hpp"
#include "mercer/plan/forecast.hpp"
#include "mercer/train/rate.hpp"
#include "training_parts.hpp"

namespace mercer::jobs {
namespace {

using dist::RowBlock;

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

double real(Index count) {
  return static_cast<double>(count);
}

void check(const TrainingOptions& options) {
  const auto& o = options.descent;
  if (!(o.tolerance > 0 || o.loss > 0))
    throw InputError("`advise`: give `tolerance` or `loss`: what the training is to reach");
  const char* unknown = o.momentum > 0       ? "momentum"
                        : o.weight_decay > 0 ? "weight_decay"
                        : options.blocks()   ? "stochastic` block"
                        : options.preconditioned() && o.batch > 0 && !options.on_parameters()
                            ? "stochastic` rows"
                        : options.joint_outputs     ? "joint_outputs"
                        : !options.spectrum.empty() ? "spectrum"
                        : o.refresh > 0             ? "refresh"
                                                    : nullptr;
  if (unknown != nullptr)
    throw InputError("`advise`: its linear model is without `{}{}", unknown,
                     std::string_view(unknown).find('`') == std::string_view::npos ? "`" : "");
}

/// 0, 10, 20, 50, 100, 200, ... below `most`, and `asked`, ascending.
std::vector<Index> numbers_of_modes(Index most, Index asked) {
  std::vector<Index> ks{0};
  for (Index ten = 10; ten < most; ten *= 10)
    for (const Index k : {ten, 2 * ten, 5 * ten})
      if (k < most) ks.push_back(k);
  if (asked > 0) ks.push_back(std::min(asked, most));
  std::ranges::sort(ks);
  ks.erase(std::unique(ks.begin(), ks.end()), ks.end());
  return ks;
}

/// The rows of the linear model, and of its K_0.
struct ModelSize {
  Index s = 0, N = 0;
  bool full = false;  ///< K_0 of rows and outputs, N = s c
};

ModelSize size_of_model(const TrainingOptions& options, Index n, Index c) {
  const bool full = options.descent.batch > 0 && c > 1;
  const Index most = ceil_div(kPairNumbers, full ? c : 1);
  const Index s = std::min(n, options.sample > 0 ? options.sample : most);
  return {s, full ? s * c : s, full};
}

/// The network's kernel at w_0 as the model takes it.
template <class T>
std::shared_ptr<const kernel::Kernel> kernel_of_model(const net::Network& network,
                                                      std::span<const T> w_0, bool full) {
  return net::empirical_kernel(network, {w_0.begin(), w_0.end()},
                               full ? net::Outputs::full : net::Outputs::trace);
}

/// The linear model on s rows: K_0 of N entries, rows or rows and outputs, with all of its pairs.
struct Model {
  const comm::Communicator& comm;
  RowBlock<double> X;                             // the rows
  Index s = 0, N = 0, outputs = 1;                // rows, rows of K_0, columns of R
  bool all = false;                               // the rows are those of the training
  std::optional<dist::DistMatrix<double>> K_0{};  // where steps are taken with it
  std::vector<double> lambda{};                   // of J J^T/s, all N
  Matrix<double> V{};      // N x (this rank's rows of K_0): eigenvectors by rows
  Matrix<double> R{};      // r_0, this rank's rows x outputs
  Matrix<double> along{};  // V^T r_0, N x outputs, on every rank
  double target = 0;       // of |r|/|r_0|
};

double norm(const Matrix<double>& A) {
  double sum = 0;
  for (Index i = 0; i < A.size(); ++i) sum += A.data()[i] * A.data()[i];
  return std::sqrt(sum);
}

/// This rank's rows of f(X; w_0) - Y, where `full` entry row c + output of them, as Model::R.
Matrix<double> residual(const net::Network& network, const std::vector<double>& w,
                        const RowBlock<double>& X, const RowBlock<double>& Y, Index N) {
  const auto& comm = X.comm();
  auto F = net::outputs(network, w, X);
  for (std::size_t i = 0; i < F.values().size(); ++i) F.values()[i] -= Y.values()[i];
  const Index s = F.rows();
  const dist::RowPartition part{N, comm.size()};
  const Index first = part.begin(comm.rank()), count = part.size(comm.rank());
  if (N == s) return dist::to_columns(F);
  const auto all = dist::all_rows(F);  // s c numbers
  Matrix<double> R(count, 1);
  std::copy_n(all.data() + first, count, R.data());
  return R;
}

/// Assembles K_0 of the rows and decomposes it.
template <class T>
Model make_model(const TrainingOptions& options, const net::Network& network,
                 const data::Dataset& train, std::span<const T> w_0, std::uint64_t seed,
                 const dist::ProcessGrid& grid, Monitor& monitor) {
  const Index n = train.rows(), c = network.outputs();
  const auto [s, N, full] = size_of_model(options, n, c);
  const auto wanted = train::sample_rows(n, s, seed).rows;
  Model model{.comm = grid.all(), .X = train::select_rows(train.inputs, wanted)};
  model.s = s;
  model.N = N;
  model.outputs = full ? 1 : c;
  model.all = s == n;
  const auto kernel = kernel_of_model(network, w_0, full);
  const auto seeded = full ? net::seeded_rows(model.X, c) : RowBlock<double>();
  const auto& rows = full ? seeded : model.X;
  const Index nb = spectral::recommended_block(model.N, grid.shape());
  auto K = monitor.phase("assemble", [&] {
    return gram::assemble<double>(*kernel, rows, grid, {.nb = nb, .progress = monitor.shares()});
  });
  if (options.precondition == Precondition::kernel)
    model.K_0.emplace(comm::together(model.comm, [&] { return K.copy(); }));
  auto pairs = monitor.phase("eigensolve",
                             [&] { return spectral::by_rows(spectral::eigenpairs(std::move(K))); });
  // K is divided by N, K_0 by s.
  for (const double lambda : pairs.values)
    model.lambda.push_back(std::max(0.0, lambda) * real(model.N) / real(s));
  model.V = comm::together(model.comm, [&] {
    Matrix<double> V(model.N, pairs.vectors.rows());
    for (Index j = 0; j < V.cols(); ++j)
      for (Index i = 0; i < V.rows(); ++i) V(i, j) = pairs.vectors(j, i);
    return V;
  });
  model.R = residual(network, {w_0.begin(), w_0.end()}, model.X,
                     train::select_rows(train.targets, wanted), model.N);
  model.along = Matrix<double>(model.N, model.outputs, 0.0);
  if (model.R.rows() > 0)
    blas::gemm<double>(blas::Trans::no, blas::Trans::no, 1.0, model.V.view(), model.R.view(), 0.0,
                       model.along.view());
  model.comm.all_reduce(std::span<double>(model.along.data(), at(model.along.size())),
                        comm::Op::sum);
  const double mean = norm(model.along) / std::sqrt(real(s * c));
  const auto& o = options.descent;
  model.target = std::max(o.tolerance, o.loss > 0 && mean > 0 ? std::sqrt(o.loss) / mean : 0);
  return model;
}

/// The least t <= most at which |r_t|/|r_0| <= target, or -1, for r_t = sum of modes that a step
/// multiplies by `factors` in -1 ... 1.
Index steps_of_modes(const Model& model, const std::vector<double>& factors, Index most) {
  std::vector<double> squares(factors.size(), 0.0);
  for (Index a = 0; a < model.outputs; ++a)
    for (std::size_t i = 0; i < squares.size(); ++i)
      squares[i] += std::pow(model.along(static_cast<Index>(i), a), 2);
  const double first = std::accumulate(squares.begin(), squares.end(), 0.0);
  const auto reached = [&](Index t) {
    double sum = 0;
    for (std::size_t i = 0; i < squares.size(); ++i)
      sum += squares[i] * std::pow(std::abs(factors[i]), 2 * real(t));
    return sum <= model.target * model.target * first;
  };
  if (!reached(most)) return -1;
  Index low = 0, high = most;  // reached at `high`
  while (low < high) {
    const Index middle = (low + high) / 2;
    if (reached(middle))
      high = middle;
    else
      low = middle + 1;
  }
  return high;
}

/// Batches one by one, in the coordinates of K_0's eigenvectors: a <- a - eta s g o (V_B^T r_B),
/// r_B = V_B a; a training stops where its stale residual and that of all rows are small enough.
/// Returns -1 where that takes more than options.steps.
Index steps_of_batches(const Model& model, const train::Options& options, double rate,
                       const std::vector<double>& gamma) {
  const Index c = model.N / model.s, local = model.V.cols();
  const Index first = dist::RowPartition{model.N, model.comm.size()}.begin(model.comm.rank());
  const dist::RowPartition pieces{model.s, to_int(options.pieces(model.s), "batches an epoch")};
  const double first_norm = norm(model.along);
  std::vector<double> a(model.along.data(), model.along.data() + model.N);
  std::vector<double> stale(at(local)), change(at(model.N) + 1);
  std::vector<Index> order(at(model.s));
  const auto small = [&](double square) { return std::sqrt(square) <= model.target * first_norm; };
  for (Index t = 0; t <= options.steps; ++t) {
    const int piece = static_cast<int>(t % pieces.nprocs);
    if (piece == 0) {
      train::random_order(order, Random(options.seed, Stream::batches),
                          static_cast<std::uint64_t>(t / pieces.nprocs * model.s));
      blas::gemv<double>(blas::Trans::yes, 1.0, model.V.view(), a, 0.0, stale);
    }
    std::ranges::fill(change, 0.0);
    for (Index i = pieces.begin(piece); i < pieces.end(piece); ++i)
      for (Index e = order[at(i)] * c - first; e < (order[at(i)] + 1) * c - first; ++e) {
        if (e < 0 || e >= local) continue;
        const double* v = model.V.column(e);
        stale[at(e)] = std::inner_product(a.begin(), a.end(), v, 0.0);
        for (std::size_t j = 0; j < a.size(); ++j) change[j] += stale[at(e)] * v[j];
      }
    change.back() = std::inner_product(stale.begin(), stale.end(), stale.begin(), 0.0);
    model.comm.all_reduce(std::span<double>(change), comm::Op::sum);
    const double exact = std::inner_product(a.begin(), a.end(), a.begin(), 0.0);
    if (small(change.back()) && small(exact)) return t;
    if (!(exact < 1e12 * first_norm * first_norm)) return -1;
    for (std::size_t j = 0; j < a.size(); ++j) a[j] -= rate * real(model.s) * gamma[j] * change[j];
  }
  return -1;
}

/// beta and tail of train::BatchBound, from all pairs: j.(P j) = s sum_i g_i v_ei^2. Collective.
train::BatchBound bound_of(const Model& model, const std::vector<double>& gamma) {
  double beta = 0;
  for (Index e = 0; e < model.V.cols(); ++e) {
    double sum = 0;
    for (std::size_t i = 0; i < gamma.size(); ++i)
      sum += gamma[i] * std::pow(model.V(static_cast<Index>(i), e), 2);
    beta = std::max(beta, real(model.s) * sum);
  }
  return {model.comm.all_reduce(beta, comm::Op::max), *std::ranges::max_element(gamma)};
}

/// The eigenvalues of K_0 S for an S of K_0 itself, k > 0.
msk::ModifiedSpectrum modified(const Model& model, const std::string& g, Index k) {
  const auto options = msk::cut_options<double>(k, model.N, msk::SpectrumMap::Positivity::positive);
  return msk::cut_spectrum(msk::SpectrumMap::parse(g), model.lambda, model.lambda.back(), {},
                           options)
      .spectrum;
}

/// An S of K_0 itself, or S = I.
void predict(const Model& model, const TrainingOptions& options, Index n, AdvisedTop& top) {
  const auto& o = options.descent;
  auto spectrum = top.k > 0 ? modified(model, options.g, top.k) : msk::ModifiedSpectrum{};
  const auto gamma = top.k > 0 ? std::move(spectrum.g) : model.lambda;
  const double largest = *std::ranges::max_element(gamma);
  top.spread = top.k > 0 ? largest / spectrum.next : 1;
  Index steps = 0;
  const auto factors = [&](double step) {
    std::vector<double> result;
    for (const double g : gamma) result.push_back(1 - step * g);
    return result;
  };
  if (o.batch > 0) {
    const Index B = ceil_div(n, o.pieces(n));
    top.rate = o.rate > 0 ? o.rate : o.safety * bound_of(model, gamma).rate(B);
    steps = model.all ? steps_of_batches(model, o, top.rate, gamma)
                      : steps_of_modes(model, factors(top.rate * real(B)), o.steps);
  } else {
    top.rate = o.rate > 0 ? o.rate : o.safety / (real(n) * largest);
    steps = steps_of_modes(model, factors(top.rate * real(n)), o.steps);
  }
  top.reached = steps >= 0;
  top.steps = top.reached ? steps : o.steps;
}

/// An S of another kernel, whose pairs on these rows are `pairs`: r <- r - (eta n) K_0 S r.
template <class T>
void predict(const Model& model, const TrainingOptions& options, const net::Network& network,
             const spectral::TopPairs& pairs, std::span<const T> w_0, Index n, AdvisedTop& top) {
  const auto& o = options.descent;
  const auto cut = msk::cut_spectrum(
      msk::SpectrumMap::parse(options.g), pairs.values, pairs.next, pairs.residuals,
      msk::cut_options<double>(top.k, model.N, msk::SpectrumMap::Positivity::positive));
  const msk::Preconditioner<double> S(pairs, cut.spectrum);
  train::RowSet<T> rows =
      train::row_set<T>(model.X, RowBlock<double>(model.comm, model.s, network.outputs()));
  rows.S = msk::Preconditioner<T>(pairs, cut.spectrum);
  net::Evaluator<T> evaluator(network, rows.rows());
  const double largest =
      train::largest_eigenvalue<T>(model.comm, evaluator, w_0, rows, o.seed).lambda_max /
      real(model.s);
  top.spread = largest / cut.spectrum.next;
  top.rate = o.rate > 0 ? o.rate : o.safety / (real(n) * largest);
  const gram::MatrixOperator<double> K(*model.K_0);
  auto r = model.R.copy();
  Matrix<double> Sr(r.rows(), r.cols()), change(r.rows(), r.cols());
  const double first = norm(model.along);
  for (Index t = 0; t <= o.steps; ++t) {
    double square = std::pow(norm(r), 2);
    square = model.comm.all_reduce(square, comm::Op::sum);
    top.steps = t;
    if (std::sqrt(square) <= model.target * first) return;
    std::copy_n(r.data(), r.size(), Sr.data());
    S.apply_columns(model.comm, Sr.view());
    K.apply(Sr.view(), change.view());
    for (Index i = 0; i < r.size(); ++i) r.data()[i] -= top.rate * real(n) * change.data()[i];
  }
  top.steps = o.steps;
  top.reached = false;
}

/// Times and memory, by the plan of such a training.
template <class T>
void cost(const TrainingOptions& asked, const net::Network& network, const gram::Source& kernel,
          const data::Split& sets, std::span<const T> w_0, const Resources& resources,
          const comm::Communicator& comm, AdvisedTop& top) {
  auto options = asked;
  options.top = top.k > 0 ? top.k : -1;
  options.directions = {};
  options.default_directions = false;
  if (options.descent.batch == 0) options.sample = 0;  // full batches take S from all rows
  if (top.k == 0) {
    options.precondition = Precondition::none;
    options.g = "flat";
    options.method = spectral::Method::automatic;
    options.storage = gram::Storage::automatic;
  }
  constexpr Index kSteps = 1000;
  const auto seconds = [&](Index steps) {
    options.descent.steps = steps;
    const auto plan = jobs::plan<T>(options, network, kernel, sets, w_0, resources, comm);
    top.bytes = plan.stages.peak();
    top.fits = !(resources.limit() > 0 && top.bytes > resources.limit());
    return plan.stages.seconds();
  };
  top.seconds_S = seconds(0);
  top.seconds_step = (seconds(kSteps) - top.seconds_S) / real(kSteps);
}

}  // namespace

std::vector<std::string> Advice::lines() const {
  std::vector<std::string> lines{
      fmt::format("{:>6}  {:>10}  {:>12}  {:>9}  {:>10}  {:>10}  {:>10}  {:>10}", "top", "spread",
                  "eta", "steps", "S", "a step", "in all", "memory")};
  for (const auto& top : tops)
    lines.push_back(fmt::format(
        "{:>6}  {:>10.4g}  {:>12.5e}  {:>9}  {:>10}  {:>10}  {:>10}  {:>10}", top.k, top.spread,
        top.rate, top.reached ? fmt::format("{}", top.steps) : fmt::format("> {}", top.steps),
        fmt::format("{:.3g} s", top.seconds_S), fmt::format("{:.3g} s", top.seconds_step),
        top.reached ? fmt::format("{:.3g} s", top.seconds()) : "-",
        fmt::format("{:.0f} MiB{}", top.bytes / (1 << 20), top.fits ? "" : ": too much")));
  if (!any)
    lines.emplace_back("none reaches the target within `steps`");
  else
    lines.push_back(fmt::format("least predicted time: `top` {}", tops[best].k));
  return lines;
}

TrainingOptions advised(TrainingOptions options) {
  if (!options.preconditioned())
    options.precondition =
        options.descent.batch > 0 ? Precondition::empirical : Precondition::kernel;
  check(options);
  return options;
}

namespace {

/// The options of a training that the advice is for.
void validate(TrainingOptions options, Index n) {
  if (options.descent.batch == 0) options.sample = 0;  // that of the linear model
  static_cast<void>(options.validated(n));
}

}  // namespace

template <class T>
plan::Plan advice_plan(const TrainingOptions& asked, const net::Network& network,
                       const data::Split& sets, std::span<const T> w_0, const Resources& resources,
                       double load_seconds) {
  const auto options = advised(asked);
  validate(options, sets.train.rows());
  check_fit(network, sets, w_0.size());
  const Index c = network.outputs(), m = sets.test.has_value() ? sets.test->rows() : 0;
  const auto [s, N, full] = size_of_model(options, sets.train.rows(), c);
  const auto K_0 = kernel_of_model(network, w_0, full);
  gram::Sizes sizes{.n = N,
                    .d = network.inputs() + (full ? c : 0),
                    .shape = resources.shape,
                    .nb = spectral::recommended_block(N, resources.shape),
                    .kernel = K_0};
  const double ranks = sizes.ranks(), p = real(network.parameters());
  const double data = 8 * real((sets.train.rows() + m) * (network.inputs() + c)) / ranks;
  const double matrix = 8 * real(N) * real(N) / ranks;  // V, K_0
  sizes.held = data + (2 * sizeof(T) + 2 * 8) * p;      // w_0 as it is, and in double
  auto assembly = plan::assemble(resources.machine, sizes);
  const auto method = spectral::choose(N, N, true, sizes.shape, false).method;
  auto solve = plan::eigensolve(resources.machine, sizes, method, N);
  auto model = plan::Stage{.name = "advise", .bytes = sizes.held + 2 * matrix};
  if (options.precondition == Precondition::kernel) {  // the same of the kernel of S, beside K_0, V
    for (auto* stage : {&assembly, &solve}) {
      stage->bytes += 2 * matrix;
      stage->flops *= 2;
      stage->seconds *= 2;
    }
    model.bytes += 2 * matrix;
  }
  auto plan = resources.plan();
  plan.suggest("more ranks or a smaller `sample`", "");
  plan.stage({.name = "load", .bytes = 2 * data, .seconds = load_seconds});
  for (const auto& stage : {assembly, solve, model}) plan.stage(stage);
  return plan;
}

template <class T>
Advice advise(const TrainingOptions& asked, const net::Network& network, const gram::Source& kernel,
              const data::Split& sets, std::span<const T> w_0, const Resources& resources,
              const dist::ProcessGrid& grid, Monitor& monitor) {
  auto options = advised(asked);
  validate(options, sets.train.rows());
  options.descent.seed = resources.seed;
  check_fit(network, sets, w_0.size());
  const Index n = sets.train.rows();
  const auto model =
      make_model<T>(options, network, sets.train, w_0, resources.seed, grid, monitor);
  const Monitor::Phase scope(monitor, "advise");
  spectral::TopPairs pairs;  // of the kernel of S, where it is another one
  if (options.precondition == Precondition::kernel) {
    const Index nb = spectral::recommended_block(model.N, grid.shape());
    pairs = spectral::by_rows(
        spectral::eigenpairs(gram::assemble<double>(kernel, model.X, grid, {.nb = nb})));
  }
  Advice advice{.rows = model.s, .of = n};
  for (const Index k : numbers_of_modes(model.N, asked.top)) {
    AdvisedTop top{.k = k};
    if (k > 0 && options.precondition == Precondition::kernel)
      predict<T>(model, options, network, pairs, w_0, n, top);
    else
      predict(model, options, n, top);
    cost<T>(options, network, kernel, sets, w_0, resources, grid.all(), top);
    monitor.progress(real(k) / real(model.N), fmt::format("top {}", k));
    advice.tops.push_back(top);
    if (!top.reached || !top.fits) continue;
    if (!advice.any || top.seconds() < advice.tops[advice.best].seconds())
      advice.best = advice.tops.size() - 1;
    advice.any = true;
  }
  return advice;
}

#define MERCER_INSTANTIATE(T)                                                                  \
  template plan::Plan advice_plan<T>(const TrainingOptions&, const net::Network&,              \
                                     const data::Split&, std::span<const T>, const Resources&, \
                                     double);                                                  \
  template Advice advise<T>(const TrainingOptions&, const net::Network&, const gram::Source&,  \
                            const data::Split&, std::span<const T>, const Resources&,          \
                            const dist::ProcessGrid&, Monitor&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::jobs
