#pragma once

#include <memory>
#include <optional>
#include <string>

#include "mercer/jobs/spectrum.hpp"
#include "mercer/msk/eigenspaces.hpp"

namespace mercer::jobs {

/// Eigenpairs that a program has in memory, vectors by rows over the ranks of its communicator, and
/// what they belong to. Jobs borrow them through a std::shared_ptr in their options, as they take a
/// file.
struct KnownPairs {
  spectral::Expected of{};
  spectral::Method method = spectral::Method::automatic;  ///< that computed them
  spectral::TopPairs pairs{};
};

/// The pairs of a result, with its next_vector. Collective. Memory: a copy of this rank's share of
/// the vectors, in double.
template <class T>
std::shared_ptr<const KnownPairs> known_pairs(const Spectrum<T>& spectrum);

/// The pairs in the file at `path`, of mercer-spectrum or of write(file, Spectrum), with
/// /eigenvector_next where there is one. They must belong to `kernel` and `rows`, which may be
/// empty where K is read from a file. Throws as spectral::read(). Collective over the grid's all()
/// ranks. Memory: two copies of this rank's share of the vectors, of which one stays.
std::shared_ptr<const KnownPairs> read_spectrum(const std::string& path, const gram::Source& kernel,
                                                const data::Dataset& rows,
                                                const dist::ProcessGrid& grid);

/// Pairs that a job takes instead of computing them: from a file, or from memory; or none.
struct GivenPairs {
  std::string file{};                         ///< of mercer-spectrum, or of write(file, Spectrum)
  std::shared_ptr<const KnownPairs> known{};  ///< known_pairs(), read_spectrum()

  bool empty() const { return file.empty() && known == nullptr; }
  /// For messages: "`spectrum` S.h5" or "`spectrum` in memory". Local.
  std::string text() const;
  /// Number of pairs; 0 where there are none, no eigenvectors, or some of another number of rows
  /// than n: read() says what is wrong. Collective.
  Index count(const comm::Communicator& comm, Index n) const;
  /// What identifies the pairs in a checkpoint: size and checksum of the file, or a hash of values
  /// and vectors; "none". Collective.
  std::string contents(const comm::Communicator& comm) const;
  /// Throws InputError where both are given. Local.
  void validate() const;
};

/// Copies of given vectors in memory while they are read and redistributed by rows: by rows, on the
/// grid, and as columns.
inline constexpr int kCopiesByRows = 3;

/// The given pairs on the grid, with blocks of nb. They must belong to `kernel` and `rows`. Phase:
/// load. Throws as spectral::read(), also for pairs in memory. Collective.
template <class T>
spectral::Eigenpairs<T> read(const GivenPairs& given, const gram::Source& kernel,
                             const data::Dataset& rows, const dist::ProcessGrid& grid, Index nb,
                             Monitor& monitor);

/// Options of spectral::krylov() for the top k pairs, with the block and basis of `run`. Its log
/// lines and its progress go to `monitor`, which is borrowed. Local.
spectral::KrylovOptions krylov_options(const spectral::KrylovPlan& run, Index k, double tolerance,
                                       std::uint64_t seed, Monitor& monitor);

/// The top k pairs of K to `tolerance` by block Krylov, with the block and basis of `run`.
/// `before`: pairs of an earlier call to start from, or null. Phase: eigensolve. Throws as
/// spectral::krylov(). Collective.
spectral::TopPairs krylov_pairs(const gram::Operator& K, const spectral::KrylovPlan& run, Index k,
                                double tolerance, const spectral::TopPairs* before,
                                std::uint64_t seed, Monitor& monitor);

/// The top pairs of a kernel matrix, vectors by rows, computed as a strategy says: by a direct
/// solver from the assembled K (the vectors are redistributed once), or by block Krylov from
/// matrix-vector products, without assembling K. For the S of a training, for instance. Borrows
/// kernel, X, grid and monitor.
class PairSolver {
 public:
  /// `nb`: block size; 0: chosen. `direct`: the direct solver; automatic: chosen for the rows of X.
  /// Local.
  PairSolver(SpectrumStrategy strategy, spectral::Method direct, const gram::Source& kernel,
             const dist::RowBlock<double>& X, const dist::ProcessGrid& grid, Index nb,
             std::uint64_t seed, Monitor& monitor);
  ~PairSolver();

  /// The tolerance to call with, for msk::SolveOptions; 0 for a direct solver. Local.
  double tolerance() const;
  /// The top k pairs to `tolerance` (0: direct). `before`: pairs of an earlier call to start from,
  /// or null. Phases: assemble, eigensolve. Collective.
  spectral::TopPairs operator()(Index k, double tolerance, const spectral::TopPairs* before);
  Index products() const { return products_; }  ///< of K with one vector, so far (block Krylov)

 private:
  SpectrumStrategy strategy_;
  spectral::Method direct_;
  const gram::Source& kernel_;
  const dist::RowBlock<double>& X_;
  const dist::ProcessGrid& grid_;
  Index nb_;
  std::uint64_t seed_;
  Monitor& monitor_;
  std::optional<Products> K_;  ///< kept between calls
  Index products_ = 0;
};

/// Logs what g acts on, and warns where predictions depend on the solver's error (Cut::warning()).
/// `of`: whose eigenvalues they are, " of each block" or nothing. Local.
void report_cut(Monitor& monitor, const msk::SpectrumMap& g, const msk::Cut& cut, Index n,
                const std::string& of = "");

}  // namespace mercer::jobs
