#include "mercer/spectral/krylov_file.hpp"

#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/io/columns_file.hpp"
#include "mercer/spectral/probes.hpp"

namespace mercer::spectral {

void write(io::Hdf5File& file, Index n, const KrylovState& state) {
  const Index m = state.columns;
  file.write("/krylov/numbers", state.numbers());
  std::vector<double> projection;
  for (Index j = 0; j < m; ++j)
    projection.insert(projection.end(), state.projection.column(j), state.projection.column(j) + m);
  file.write("/krylov/projection", projection);
  io::write_columns(file, "/krylov/images", n, state.images.view());
  io::write_columns(file, "/krylov/basis", n,
                    state.basis.view().block(0, 0, state.basis.rows(), m));
}

namespace {

/// The numbers of a state that krylov() can have on n rows, in the order of KrylovState::numbers().
/// Throws InputError. Collective.
std::vector<double> read_numbers(const io::Hdf5File& file, Index n) {
  const auto numbers = file.read_finite("/krylov/numbers", 12);
  const auto check = [&](std::size_t i, const char* what, Index least, Index most) {
    return io::whole_number(file, fmt::format("/krylov/numbers: {}", what), numbers[i], least,
                            most);
  };
  constexpr Index kMost = Index{1} << 53;
  const Index products = check(0, "products", 1, kMost);
  check(1, "restarts", 0, kMost);
  const Index columns = check(2, "columns", 1, std::min(n, io::kMostCount));
  const Index multiplied = check(3, "columns multiplied", 0, columns);
  const Index locked = check(4, "columns locked", 0, multiplied);
  check(5, "columns drawn", 0, kMost);
  check(6, "columns of earlier runs", 0, locked);
  check(7, "pairs beyond those wanted", 0, 1);
  check(8, "converged pairs", 0, columns);
  check(9, "products at the next check", 0, kMost);
  check(10, "products at the last check", 0, products);
  if (numbers[11] < 0)
    throw InputError(
        "{}: /krylov/numbers: the residual at the last check is {}: it must be at least 0",
        file.path(), numbers[11]);
  return numbers;
}

}  // namespace

KrylovState read_krylov_state(const io::Hdf5File& file, Index n, KrylovSizes sizes) {
  KrylovState state;
  if (!file.contains("/krylov/numbers"))
    throw InputError("{}: is not a checkpoint of eigenpairs (no /krylov/numbers)", file.path());
  state.set_numbers(read_numbers(file, n));
  const Index m = state.columns;
  const auto projection = file.read_finite("/krylov/projection", m * m);
  // As krylov() allocates them: a basis of the whole space has room for its last product.
  const Index columns = std::max(m, sizes.basis + (sizes.basis == n ? sizes.block : 0));
  state.projection = Matrix<double>(columns, columns, 0.0);
  for (Index j = 0; j < m; ++j)
    std::copy_n(projection.begin() + j * m, m, state.projection.column(j));
  state.images = io::read_columns(file, "/krylov/images", n, kResidualProbes);
  const dist::RowPartition rows{n, file.comm().size()};
  const Index own = rows.size(file.comm().rank());
  state.basis = comm::together(file.comm(), [&] { return Matrix<double>(own, columns); });
  io::read_columns(file, "/krylov/basis", n, state.basis.view().block(0, 0, own, m));
  return state;
}

}  // namespace mercer::spectral
