#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/base/text.hpp"
#include "mercer/dist/rows.hpp"
#include "spectrum_parts.hpp"

namespace mercer::jobs {

/// Eigenvectors of an earlier result, with that of lambda_(k+1) where it was stored, because
/// krylov() converges it too. The entries of rows added since then are zeros.
Matrix<double> starting_vectors(const SpectrumPlan& plan, const comm::Communicator& comm) {
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
    auto vectors = file.read_rows<double>(dataset, extents[0], extents[1]);
    if (vectors.rows() < plan.n) {
      dist::RowBlock<double> added(comm, plan.n - vectors.rows(), vectors.cols());
      std::ranges::fill(added.values(), 0.0);
      vectors = dist::concatenate(vectors, added);
    }
    return dist::to_columns(vectors);
  };
  spectral::TopPairs earlier{.n = plan.n};
  earlier.vectors = columns("/eigenvectors");
  if (file.contains("/eigenvector_next")) earlier.next_vector = columns("/eigenvector_next");
  return spectral::warm_start(earlier);
}

}  // namespace mercer::jobs
