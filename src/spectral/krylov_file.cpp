#include "mercer/spectral/krylov_file.hpp"

#include <algorithm>

#include "mercer/base/error.hpp"
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

KrylovState read_krylov_state(const dist::Hdf5File& file, Index n) {
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
  state.projection = Matrix<double>(m, m);
  std::ranges::copy(projection, state.projection.data());
  state.images = dist::read_columns(file, "/krylov/images", n, kProbes);
  state.basis = dist::read_columns(file, "/krylov/basis", n, m);
  return state;
}

}  // namespace mercer::spectral
