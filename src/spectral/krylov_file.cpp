#include "mercer/spectral/krylov_file.hpp"

#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/columns_file.hpp"

namespace mercer::spectral {

void write(dist::Hdf5File& file, Index n, const KrylovState& state) {
  const Index m = state.columns;
  file.write("/krylov/numbers", state.numbers());
  std::vector<double> projection;
  for (Index j = 0; j < m; ++j)
    projection.insert(projection.end(), state.projection.column(j), state.projection.column(j) + m);
  file.write("/krylov/projection", projection);
  dist::write_columns(file, "/krylov/images", n, state.images.view());
  dist::write_columns(file, "/krylov/basis", n,
                      state.basis.view().block(0, 0, state.basis.rows(), m));
}

KrylovState read_krylov_state(const dist::Hdf5File& file, Index n, KrylovSizes sizes) {
  constexpr Index kProbes = 16;
  KrylovState state;
  if (!file.contains("/krylov/numbers"))
    throw InputError("{}: is no checkpoint of eigenpairs (no /krylov/numbers)", file.path());
  state.set_numbers(file.read_vector("/krylov/numbers"));
  const Index m = state.columns;
  const auto projection = file.read_vector("/krylov/projection");
  if (static_cast<Index>(projection.size()) != m * m)
    throw InputError("{}: /krylov/projection holds {} numbers, not {} x {}", file.path(),
                     projection.size(), m, m);
  // As krylov() allocates them: a basis of the whole space has a place for its last product.
  const Index columns = std::max(m, sizes.basis + (sizes.basis == n ? sizes.block : 0));
  state.projection = Matrix<double>(columns, columns, 0.0);
  for (Index j = 0; j < m; ++j)
    std::copy_n(projection.begin() + j * m, m, state.projection.column(j));
  state.images = dist::read_columns(file, "/krylov/images", n, kProbes);
  const dist::RowPartition rows{n, file.comm().size()};
  const Index own = rows.size(file.comm().rank());
  state.basis = comm::together(file.comm(), [&] { return Matrix<double>(own, columns); });
  dist::read_columns(file, "/krylov/basis", n, state.basis.view().block(0, 0, own, m));
  return state;
}

}  // namespace mercer::spectral
