#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/base/text.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/rows.hpp"
#include "spectrum_parts.hpp"

namespace mercer::jobs {
namespace {

/// This rank's rows of the vectors; the entries of the rows added behind them, up to n, are zeros.
/// Collective.
Matrix<double> extended(dist::RowBlock<double> vectors, Index n) {
  if (vectors.rows() < n) {
    dist::RowBlock<double> added(vectors.comm(), n - vectors.rows(), vectors.cols());
    std::ranges::fill(added.values(), 0.0);
    vectors = dist::concatenate(vectors, added);
  }
  return dist::to_columns(vectors);
}

/// The vectors in options.start, with that of lambda_(k+1) where it was stored.
spectral::TopPairs vectors_of_file(const SpectrumPlan& plan, const comm::Communicator& comm) {
  const auto& path = plan.options.start;
  const auto file = io::Hdf5File::open(comm, path, io::Origin::mercer);
  if (!file.contains("/eigenvectors"))
    throw InputError("`start` {}: has no /eigenvectors: give a result of mercer-spectrum", path);
  const auto columns = [&](const char* dataset) {
    const auto extents = file.extents(dataset);
    if (extents.size() != 2 || extents[1] < 1 || extents[1] > extents[0])
      throw InputError("`start` {}: {} is {}: n x k, k <= n, is wanted", path, dataset,
                       fmt::join(extents, " x "));
    if (extents[0] > plan.n)
      throw InputError("`start` {}: has eigenvectors of {}, this job has n = {}", path,
                       counted(extents[0], "row"), plan.n);
    return extended(file.read_rows<double>(dataset, extents[0], extents[1]), plan.n);
  };
  spectral::TopPairs earlier{.n = plan.n};
  earlier.vectors = columns("/eigenvectors");
  if (file.contains("/eigenvector_next")) earlier.next_vector = columns("/eigenvector_next");
  return earlier;
}

/// The same in options.start_pairs.
spectral::TopPairs vectors_in_memory(const SpectrumPlan& plan, const comm::Communicator& comm) {
  const auto& given = plan.options.start_pairs->pairs;
  const auto columns = [&](const Matrix<double>& V) {
    auto rows = comm::together(comm, [&] {
      const Index own = dist::RowPartition{given.n, comm.size()}.size(comm.rank());
      if (V.rows() != own)
        throw InputError(
            "`start_pairs`: are distributed over other ranks than this job's: a rank "
            "has {} of {} instead of {}",
            V.rows(), counted(given.n, "row"), own);
      return dist::to_row_block(comm, given.n, V.view());
    });
    return extended(std::move(rows), plan.n);
  };
  spectral::TopPairs earlier{.n = plan.n};
  earlier.vectors = columns(given.vectors);
  if (given.next_vector.cols() > 0) earlier.next_vector = columns(given.next_vector);
  return earlier;
}

}  // namespace

Matrix<double> starting_vectors(const SpectrumPlan& plan, const comm::Communicator& comm) {
  return spectral::warm_start(plan.options.start_pairs != nullptr ? vectors_in_memory(plan, comm)
                                                                  : vectors_of_file(plan, comm));
}

}  // namespace mercer::jobs
