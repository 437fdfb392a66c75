#include "mercer/gram/source.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <tuple>
#include <vector>

#include "mercer/base/hash.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/io/hdf5.hpp"

namespace mercer::gram {
namespace {

const std::string kDataset = "/kernel";

std::vector<Index> stored_extents(const io::Hdf5File& file) {
  if (!file.contains(kDataset))
    throw InputError("{}: has no dataset {}, which mercer-kernel writes", file.path(), kDataset);
  const auto extents = file.extents(kDataset);
  if (extents.size() != 2)
    throw InputError("{}: {} has {} dimensions, a kernel matrix has 2", file.path(), kDataset,
                     extents.size());
  return extents;
}

/// (1/n) M A for a stored matrix M, by rows: every rank fetches A in panels. Collective.
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
    blas::gemm<double>(blas::Trans::no, blas::Trans::no, 1.0 / static_cast<double>(n), alpha.view(),
                       M.transposed().block(begin, 0, w, m), 1.0, F.transposed());
  }
  return F;
}

/// (1/n) M^T A for a stored n x m matrix M, by rows as A is: sums m c numbers over the ranks.
/// Collective.
RowBlock<double> multiply_transposed(const RowBlock<double>& M, const RowBlock<double>& A) {
  const Index c = A.cols(), m = M.cols();
  Matrix<double> sum(c, m, 0.0);
  if (M.local_rows() > 0)
    blas::gemm<double>(blas::Trans::no, blas::Trans::yes, 1.0 / static_cast<double>(A.rows()),
                       A.transposed(), M.transposed(), 0.0, sum.view());
  M.comm().all_reduce(std::span<double>(sum.data(), static_cast<std::size_t>(sum.size())),
                      comm::Op::sum);
  RowBlock<double> F(M.comm(), m, c);
  std::copy_n(sum.column(F.first_row()), F.values().size(), F.values().data());
  return F;
}

RowBlock<double> read_rows(const comm::Communicator& comm, const std::string& path, Index rows,
                           Index cols) {
  const auto file = io::Hdf5File::open(comm, path);
  const auto extents = stored_extents(file);
  if (extents[0] != rows || extents[1] != cols)
    throw InputError("{}: {} is {} x {}, but the data sets need {} x {}", path, kDataset,
                     extents[0], extents[1], rows, cols);
  auto matrix = file.read_rows<double>(kDataset);
  comm::agree_or_throw(
      comm, std::ranges::all_of(matrix.values(), [](double v) { return std::isfinite(v); }),
      ExitCode::bad_input, path + ": " + kDataset + " holds a NaN or an infinity");
  return matrix;
}

std::optional<std::string> text_of(const io::Hdf5File& file, const char* attribute) {
  if (!file.has_attribute("/", attribute)) return std::nullopt;
  return file.text_attribute("/", attribute);
}

/// The shape and the attributes of a kernel file. Collective.
struct Stored {
  explicit Stored(const io::Hdf5File& file)
      : extents(stored_extents(file)),
        rows(text_of(file, "data_hash")),
        columns(text_of(file, "data2_hash")),
        kernel(text_of(file, "kernel")) {
    // A square matrix without data2_hash is of one set; a matrix that is not square is of two.
    if (!columns && extents[0] == extents[1]) columns = rows;
  }
  std::vector<Index> extents;
  std::optional<std::string> rows, columns;  ///< hashes
  std::optional<std::string> kernel;
};

const char* const kRemedy =
    "give the rows, their order, `limit`, `scale`, `standardize` and `unit_norm` that the file was "
    "written with, or write it again with mercer-kernel";

/// Compares the hash of one side of a matrix, `side` = "rows" or "columns", with that of the job's
/// rows; adds a line where the file has no hash. Throws InputError. Local.
void require_same(const std::string& path, const char* side, const std::optional<std::string>& hash,
                  const RowIdentity& here, std::vector<std::string>& lines) {
  if (!hash) {
    lines.push_back(fmt::format(
        "{}: does not say which data its {} belong to (no attribute {}, which mercer-kernel "
        "writes): taken on trust to be {}, in their order",
        path, side, std::string_view(side) == "rows" ? "data_hash" : "data2_hash", here.name));
    return;
  }
  if (*hash != hash_text(here.hash))
    throw InputError("{}: the {} of /kernel are not {}: their hash is {} in the file, {} here: {}",
                     path, side, here.name, *hash, hash_text(here.hash), kRemedy);
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
  if (source.matrix_.empty()) throw InputError("`kernel` file: names no file, give file:K.h5");
  source.text_ = "file:" + source.matrix_;
  return source;
}

std::optional<std::string> stored_kernel(const comm::Communicator& comm, const std::string& path) {
  return text_of(io::Hdf5File::open(comm, path), "kernel");
}

Index Source::stored_size(const comm::Communicator& comm) const {
  const auto file = io::Hdf5File::open(comm, matrix_);
  const auto extents = stored_extents(file);
  if (extents[0] != extents[1] || extents[0] == 0)
    throw InputError("{}: {} is {} x {}, a kernel matrix of one data set is square and not empty",
                     matrix_, kDataset, extents[0], extents[1]);
  return extents[0];
}

std::vector<std::string> Source::verify(const comm::Communicator& comm,
                                        const RowIdentity& train) const {
  std::vector<std::string> lines;
  if (!is_stored()) return lines;
  const Stored stored(io::Hdf5File::open(comm, matrix_));
  if (stored.extents[0] != train.rows || stored.extents[1] != train.rows)
    throw InputError("{}: {} is {} x {}, but {} are {}: it must be {} x {}", matrix_, kDataset,
                     stored.extents[0], stored.extents[1], train.name, train.rows, train.rows,
                     train.rows);
  require_same(matrix_, "rows", stored.rows, train, lines);
  if (stored.rows) require_same(matrix_, "columns", stored.columns, train, lines);
  return lines;
}

std::vector<std::string> Source::verify_cross(const comm::Communicator& comm,
                                              const RowIdentity& test, const RowIdentity& train) {
  std::vector<std::string> lines;
  const auto same = [](const RowIdentity& a, const RowIdentity& b) {
    return a.hash == b.hash && a.rows == b.rows;
  };
  if (!is_stored() || (verified_ && same(test, verified_->first) && same(train, verified_->second)))
    return lines;
  verified_.reset();
  if (cross_.empty())
    throw InputError("`kernel` file:{0}: predictions need k(test, train) too: file:{0},CROSS.h5",
                     matrix_);
  const Stored cross(io::Hdf5File::open(comm, cross_));
  const std::string rows = hash_text(test.hash), columns = hash_text(train.hash);
  transposed_ = cross.rows == columns && cross.columns == rows && rows != columns;
  const Index m = transposed_ ? train.rows : test.rows, n = transposed_ ? test.rows : train.rows;
  const auto& [first, second] = transposed_ ? std::tie(train, test) : std::tie(test, train);
  require_same(cross_, "rows", cross.rows, first, lines);
  if (cross.rows || cross.columns) require_same(cross_, "columns", cross.columns, second, lines);
  if (cross.extents[0] != m || cross.extents[1] != n)
    throw InputError("{}: {} is {} x {}, but {} are {} and {} are {}: it must be {} x {}", cross_,
                     kDataset, cross.extents[0], cross.extents[1], test.name, test.rows, train.name,
                     train.rows, m, n);
  std::optional<std::string> kernel;  // of K.h5, if it is there: predictions do not need it
  try {
    kernel = Stored(io::Hdf5File::open(comm, matrix_)).kernel;
  } catch (const InputError&) {
  }
  if (kernel && cross.kernel && *kernel != *cross.kernel)
    throw InputError("{}: holds entries of {}, but {} those of {}: both must be of one kernel",
                     cross_, *cross.kernel, matrix_, *kernel);
  verified_.emplace(test, train);
  return lines;
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
  const auto file = io::Hdf5File::open(comm, source.matrix_path());
  file.read(kDataset, K);
  // The coarser of the type it is stored in and the type it is read into.
  const double rounding = std::max(file.rounding(kDataset),
                                   0.5 * static_cast<double>(std::numeric_limits<T>::epsilon()));

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
  const double tolerance = std::max(1e-10, 16 * rounding);
  if (!(difference <= tolerance * largest))
    throw InputError(
        "{}: the kernel matrix is not symmetric: entries differ from the transpose by up to "
        "{:.3g}, rounding allows {:.1e} of the largest entry, {:.3g}",
        source.matrix_path(), difference, tolerance, largest);
  return K;
}

RowBlock<double> apply_cross(const Source& source, const RowBlock<double>& Z,
                             const RowBlock<double>& X, const RowBlock<double>& A,
                             const Options& options) {
  if (!source.is_stored()) return apply_cross(source.kernel(), Z, X, A, options);
  if (source.cross_path().empty())
    throw InputError("`kernel` file:{}: predictions need k(test, train) too: file:{},CROSS.h5",
                     source.matrix_path(), source.matrix_path());
  if (source.transposed_)
    return multiply_transposed(read_rows(A.comm(), source.cross_path(), A.rows(), Z.rows()), A);
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
