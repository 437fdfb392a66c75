#include "mercer/jobs/pairs.hpp"

#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/base/text.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/rows.hpp"

namespace mercer::jobs {
namespace {

/// What pairs of K must belong to. Collective.
spectral::Expected expected_of(const gram::Source& kernel, const data::Dataset& rows,
                               const comm::Communicator& comm) {
  const bool of_file = kernel.is_stored() && rows.rows() == 0;
  return {kernel.text(), of_file ? kernel.stored_size(comm) : rows.rows(),
          rows_hash(kernel, rows, comm), matrix_of(comm, kernel)};
}

/// Throws InputError where pairs in memory belong to another kernel or other rows. Local; the
/// arguments are the same on every rank.
void require_same(const spectral::Expected& of, const spectral::Expected& expected) {
  spectral::require_same_kernel("the pairs in memory", of, expected);
  if (of.n != expected.n)
    throw InputError("the pairs in memory have eigenvectors of n = {} points, this job has {}",
                     of.n, expected.n);
  if (of.data_hash != expected.data_hash)
    throw InputError("the pairs in memory belong to other rows (hash {}, this job's is {})",
                     hash_text(of.data_hash), hash_text(expected.data_hash));
}

}  // namespace

template <class T>
std::shared_ptr<const KnownPairs> known_pairs(const Spectrum<T>& spectrum) {
  auto known = std::make_shared<KnownPairs>();
  known->of = spectrum.of;
  known->method = spectrum.pairs.method;
  known->pairs = spectral::by_rows(spectrum.pairs);
  if (spectrum.next_vector.cols() > 0)
    known->pairs.next_vector = dist::to_columns(spectrum.next_vector);
  return known;
}

std::shared_ptr<const KnownPairs> read_spectrum(const std::string& path, const gram::Source& kernel,
                                                const data::Dataset& rows,
                                                const dist::ProcessGrid& grid) {
  auto known = std::make_shared<KnownPairs>();
  known->of = expected_of(kernel, rows, grid.all());
  const Index n = known->of.n;
  const auto file = io::Hdf5File::open(grid.all(), path, io::Origin::mercer);
  const auto pairs =
      spectral::read<double>(file, known->of, grid, spectral::recommended_block(n, grid.shape()));
  known->method = pairs.method;
  known->pairs = spectral::by_rows(pairs);
  if (file.contains("/eigenvector_next"))
    known->pairs.next_vector = dist::to_columns(file.read_rows<double>("/eigenvector_next", n, 1));
  return known;
}

std::string GivenPairs::text() const {
  return known != nullptr ? "`spectrum` in memory" : "`spectrum` " + file;
}

Index GivenPairs::count(const comm::Communicator& comm, Index n) const {
  if (known != nullptr) return known->of.n == n ? known->pairs.vectors.cols() : 0;
  if (file.empty()) return 0;
  const auto pairs = io::Hdf5File::open(comm, file, io::Origin::mercer);
  if (!pairs.contains("/eigenvectors")) return 0;
  const auto extents = pairs.extents("/eigenvectors");
  return extents.front() == n ? extents.back() : 0;
}

std::string GivenPairs::contents(const comm::Communicator& comm) const {
  if (known == nullptr) return contents_of(comm, file);
  const auto& pairs = known->pairs;
  const auto rows = comm::together(
      comm, [&] { return dist::to_row_block(comm, known->of.n, pairs.vectors.view()); });
  const std::string_view values(reinterpret_cast<const char*>(pairs.values.data()),
                                pairs.values.size() * sizeof(double));
  return fmt::format("{}, hashes {} {}", counted(pairs.k(), "pair"), hash_text(hash_of(values)),
                     hash_text(data::hash_rows(rows)));
}

void GivenPairs::validate() const {
  if (!file.empty() && known != nullptr)
    throw InputError("`spectrum` {}: give a file or pairs in memory, not both", file);
}

template <class T>
spectral::Eigenpairs<T> read(const GivenPairs& given, const gram::Source& kernel,
                             const data::Dataset& rows, const dist::ProcessGrid& grid, Index nb,
                             Monitor& monitor) {
  return monitor.phase("load", [&] {
    const auto expected = expected_of(kernel, rows, grid.all());
    if (given.known == nullptr)
      return spectral::read<T>(io::Hdf5File::open(grid.all(), given.file, io::Origin::mercer),
                               expected, grid, nb);
    require_same(given.known->of, expected);
    auto pairs = spectral::on_grid<T>(given.known->pairs, expected.n, grid, nb);
    pairs.method = given.known->method;
    pairs.reason = "given in memory";
    return pairs;
  });
}

spectral::KrylovOptions krylov_options(const spectral::KrylovPlan& run, Index k, double tolerance,
                                       std::uint64_t seed, Monitor& monitor) {
  spectral::KrylovOptions options{.top = k,
                                  .tolerance = tolerance,
                                  .block = run.sizes.block,
                                  .basis = run.sizes.basis,
                                  .seed = seed};
  options.say = monitor.lines("solver");
  options.progress = [&monitor, k, expected = run.products](Index products, Index converged,
                                                            double residual) {
    // Before the first Rayleigh-Ritz step no residual is known.
    monitor.progress(
        std::min(0.99, static_cast<double>(products) / expected),
        fmt::format("{}, {} of {}{}", counted(products, "product"), converged, counted(k, "pair"),
                    residual > 0 ? fmt::format(", residual {:.1e}", residual) : ""));
  };
  return options;
}

spectral::TopPairs krylov_pairs(const gram::Operator& K, const spectral::KrylovPlan& run, Index k,
                                double tolerance, const spectral::TopPairs* before,
                                std::uint64_t seed, Monitor& monitor) {
  const Monitor::Phase scope(monitor, "eigensolve");
  Matrix<double> start;
  if (before != nullptr) start = spectral::warm_start(*before);
  auto options = krylov_options(run, k, tolerance, seed, monitor);
  options.start = start.view();
  return spectral::krylov(K, options);
}

PairSolver::PairSolver(SpectrumStrategy strategy, spectral::Method direct,
                       const gram::Source& kernel, const dist::RowBlock<double>& X,
                       const dist::ProcessGrid& grid, Index nb, std::uint64_t seed,
                       Monitor& monitor)
    : strategy_(std::move(strategy)),
      direct_(direct),
      kernel_(kernel),
      X_(X),
      grid_(grid),
      nb_(nb > 0 ? nb : spectral::recommended_block(X.rows(), grid.shape())),
      seed_(seed),
      monitor_(monitor) {}

PairSolver::~PairSolver() = default;

double PairSolver::tolerance() const {
  const bool iterates = strategy_.iterative || direct_ == spectral::Method::krylov;
  return iterates ? spectral::Options{}.krylov_tolerance : 0;
}

spectral::TopPairs PairSolver::operator()(Index k, double tolerance,
                                          const spectral::TopPairs* before) {
  if (!strategy_.iterative) {
    auto K = monitor_.phase("assemble", [&] {
      return gram::assemble<double>(kernel_, X_, grid_, {.nb = nb_, .progress = monitor_.shares()});
    });
    spectral::Options solve{.top = k, .method = direct_, .seed = seed_};
    if (tolerance > 0) solve.krylov_tolerance = tolerance;
    return monitor_.phase(
        "eigensolve", [&] { return spectral::by_rows(spectral::eigenpairs(std::move(K), solve)); });
  }
  if (!K_.has_value()) {
    K_.emplace(kernel_, X_, grid_, nb_, strategy_.products, monitor_);
    monitor_.log("storage", K_->text());
  }
  auto pairs = krylov_pairs(K_->K(), strategy_.run, k, tolerance, before, seed_, monitor_);
  products_ += pairs.products;
  return pairs;
}

void report_cut(Monitor& monitor, const msk::SpectrumMap& g, const msk::Cut& cut, Index n,
                const std::string& of) {
  for (const auto& line : cut.notes()) monitor.log("g", line);
  monitor.log("g",
              fmt::format("{} on the top {} of {} eigenvalues{}; {} modes at or below "
                          "{:.0e} lambda_1 left as they are",
                          g.text(), cut.k, n, of, cut.spectrum.left_out, cut.spectrum.tolerance));
  if (const auto warning = cut.warning(); !warning.empty()) monitor.warn(warning);
}

#define MERCER_INSTANTIATE(T)                                                                     \
  template std::shared_ptr<const KnownPairs> known_pairs<T>(const Spectrum<T>&);                  \
  template spectral::Eigenpairs<T> read<T>(const GivenPairs&, const gram::Source&,                \
                                           const data::Dataset&, const dist::ProcessGrid&, Index, \
                                           Monitor&);
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE

}  // namespace mercer::jobs
