#include "mercer/gram/source.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "mercer/comm/together.hpp"
#include "mercer/dist/hdf5.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/la/blas.hpp"

namespace mercer::gram {
namespace {

const std::string kDataset = "/kernel";

std::vector<Index> stored_extents(const dist::Hdf5File& file) {
  if (!file.contains(kDataset))
    throw InputError("{}: has no dataset {}, which mercer-kernel writes", file.path(), kDataset);
  const auto extents = file.extents(kDataset);
  if (extents.size() != 2)
    throw InputError("{}: {} has {} dimensions, a kernel matrix has 2", file.path(), kDataset,
                     extents.size());
  return extents;
}

/// (1/n) M A for a stored matrix M kept by rows: every rank sees A in panels.
RowBlock<double> multiply(const RowBlock<double>& M, const RowBlock<double>& A) {
  const Index n = A.rows(), c = A.cols(), m = M.local_rows();
  RowBlock<double> F(M.comm(), M.rows(), c);
  std::ranges::fill(F.values(), 0.0);
  constexpr Index kPanel = 8192;
  for (Index begin = 0; begin < n; begin += kPanel) {
    const Index w = std::min(kPanel, n - begin);
    std::vector<Index> wanted(static_cast<std::size_t>(w));
    std::iota(wanted.begin(), wanted.end(), begin);
    const auto alpha = dist::fetch_rows<double>(A, wanted);
    la::gemm<double>(la::Trans::no, la::Trans::no, 1.0 / static_cast<double>(n), alpha.view(),
                     M.transposed().block(begin, 0, w, m), 1.0, F.transposed());
  }
  return F;
}

RowBlock<double> read_rows(const comm::Communicator& comm, const std::string& path, Index rows,
                           Index cols) {
  const auto file = dist::Hdf5File::open(comm, path);
  const auto extents = stored_extents(file);
  if (extents[0] != rows || extents[1] != cols)
    throw InputError("{}: {} is {} x {}, but the data sets make it {} x {}", path, kDataset,
                     extents[0], extents[1], rows, cols);
  auto matrix = file.read_rows<double>(kDataset);
  comm::agree_or_throw(
      comm, std::ranges::all_of(matrix.values(), [](double v) { return std::isfinite(v); }),
      ExitCode::bad_input, path + ": " + kDataset + " holds a NaN or an infinity");
  return matrix;
}

}  // namespace

Source Source::function(std::shared_ptr<const kernel::Kernel> kernel) {
  Source source;
  source.text_ = kernel->text();
  source.kernel_ = std::move(kernel);
  return source;
}

Source Source::stored(const std::string& paths) {
  Source source;
  const auto comma = paths.find(',');
  source.matrix_ = paths.substr(0, comma);
  if (comma != std::string::npos) source.cross_ = paths.substr(comma + 1);
  if (source.matrix_.empty()) throw InputError("--kernel file: names no file, give file:K.h5");
  source.text_ = "file:" + source.matrix_;
  return source;
}

Index Source::stored_size(const comm::Communicator& comm) const {
  const auto file = dist::Hdf5File::open(comm, matrix_);
  const auto extents = stored_extents(file);
  if (extents[0] != extents[1] || extents[0] == 0)
    throw InputError("{}: {} is {} x {}, a kernel matrix of one data set is square and not empty",
                     matrix_, kDataset, extents[0], extents[1]);
  return extents[0];
}

template <class T>
DistMatrix<T> assemble(const Source& source, const RowBlock<double>& X, const ProcessGrid& grid,
                       const Options& options) {
  if (!source.is_stored()) return assemble<T>(source.kernel(), X, grid, options);
  const auto& comm = grid.all();
  const Index n = source.stored_size(comm);
  if (X.rows() != n && X.rows() > 0)
    throw InputError("{}: the kernel matrix is {} x {}, but the data set has {} rows",
                     source.matrix_path(), n, n, X.rows());
  auto K = comm::together(comm, [&] { return DistMatrix<T>(grid, n, n, options.nb); });
  dist::Hdf5File::open(comm, source.matrix_path()).read(kDataset, K);

  auto as_read = comm::together(comm, [&] { return K.copy(); });
  dist::mirror_lower(K);
  double largest = 0, difference = 0;
  bool finite = true;
  for (Index j = 0; j < K.local_cols(); ++j)
    for (Index i = 0; i < K.local_rows(); ++i) {
      const double a = as_read.local()(i, j);
      finite = finite && std::isfinite(a);
      largest = std::max(largest, std::abs(a));
      difference = std::max(difference, std::abs(a - K.local()(i, j)));
      K.local()(i, j) = static_cast<T>(K.local()(i, j) / static_cast<double>(n));
    }
  comm::agree_or_throw(comm, finite, ExitCode::bad_input,
                       source.matrix_path() + ": /kernel holds a NaN or an infinity");
  largest = comm.all_reduce(largest, comm::Op::max);
  difference = comm.all_reduce(difference, comm::Op::max);
  if (!(difference <= 1e-10 * largest))
    throw InputError(
        "{}: the kernel matrix is not symmetric: entries differ from the transpose by {:.3g}",
        source.matrix_path(), difference);
  return K;
}

RowBlock<double> apply_cross(const Source& source, const RowBlock<double>& Z,
                             const RowBlock<double>& X, const RowBlock<double>& A,
                             const Options& options) {
  if (!source.is_stored()) return apply_cross(source.kernel(), Z, X, A, options);
  if (source.cross_path().empty())
    throw InputError("--kernel file:{}: predictions need k(test, train) too: file:{},CROSS.h5",
                     source.matrix_path(), source.matrix_path());
  return multiply(read_rows(A.comm(), source.cross_path(), Z.rows(), A.rows()), A);
}

RowBlock<double> apply(const Source& source, const RowBlock<double>& X, const RowBlock<double>& A,
                       const Options& options) {
  if (!source.is_stored()) return apply_cross(source.kernel(), X, X, A, options);
  return multiply(read_rows(A.comm(), source.matrix_path(), A.rows(), A.rows()), A);
}

template DistMatrix<double> assemble<double>(const Source&, const RowBlock<double>&,
                                             const ProcessGrid&, const Options&);
template DistMatrix<float> assemble<float>(const Source&, const RowBlock<double>&,
                                           const ProcessGrid&, const Options&);

}  // namespace mercer::gram
