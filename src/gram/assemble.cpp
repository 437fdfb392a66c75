#include "mercer/gram/assemble.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "assemble_tiles.hpp"
#include "entries.hpp"
#include "mercer/blas/blas.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::gram {
namespace {

using dist::BlockCyclic1D;
using kernel::Rows;

// A tile stays in a core's second-level cache between the GEMM that fills it and the pass that
// finishes it; a strip of columns is wide enough for GEMM to run at its full rate.
constexpr Index kTileRows = 512;
constexpr Index kStripCols = 512;

/// Cuts [0, n) into parts of `largest` indices, rounded down to a multiple of `unit` but at least
/// one unit; the last part may be shorter.
std::vector<Range> parts(Index n, Index largest, Index unit) {
  largest = std::max(unit, largest / unit * unit);
  std::vector<Range> result;
  for (Index begin = 0; begin < n; begin += largest)
    result.push_back({begin, std::min(n, begin + largest)});
  return result;
}

/// One tile, and Kernel::scratch_bytes().
double scratch_bytes(const kernel::Kernel& kernel) {
  return 8.0 * kTileRows * kStripCols + static_cast<double>(kernel.scratch_bytes());
}

/// The names in errors of the rows from local row `begin` on of a block-cyclic dimension.
RowNames names_of(const BlockCyclic1D& map, Index begin, const char* set) {
  return {[&map, begin](Index i) { return map.global({begin + i}).value; }, set};
}
/// The same for consecutive rows from row `first` on.
RowNames names_from(Index first, const char* set) {
  return {[first](Index i) { return first + i; }, set};
}

/// Rows `local` of this rank's part of a block-cyclic dimension, fetched and prepared. Collective.
std::unique_ptr<Rows> prepared(const kernel::Kernel& kernel, const RowBlock<double>& X,
                               const BlockCyclic1D& map, Range local, const char* set) {
  std::vector<Index> wanted(static_cast<std::size_t>(local.size()));
  for (Index i = 0; i < local.size(); ++i)
    wanted[static_cast<std::size_t>(i)] = map.global({local.begin + i}).value;
  Matrix<double> rows = dist::fetch_rows<double>(X, wanted);
  return comm::together(
      X.comm(), [&] { return prepare(kernel, std::move(rows), names_of(map, local.begin, set)); });
}

/// A copy of some of this rank's rows.
Matrix<double> own_rows(const RowBlock<double>& X, Range local) {
  Matrix<double> rows(X.cols(), local.size());
  std::ranges::copy(X.values().subspan(static_cast<std::size_t>(local.begin * X.cols()),
                                       static_cast<std::size_t>(local.size() * X.cols())),
                    rows.data());
  return rows;
}

enum class Part { lower, all };

/// The name of a column in errors: of a symmetric matrix it is a row of the same set.
const char* column_name(Part part) {
  return part == Part::lower ? "row" : "column";
}

/// Evaluates tiles of k into K's local storage, times `scale`, in T. Throws InputError where an
/// entry is not finite or too large for T.
template <class T>
class TileWriter {
 public:
  TileWriter(const kernel::Kernel& kernel, DistMatrix<T>& K, double scale, Part part,
             const std::function<void(double)>& progress)
      : kernel_(kernel), K_(K), scale_(scale), part_(part), progress_(progress), all_(entries()) {}

  /// Local rows x columns of K; `x` and `z` start at the given local row and column.
  void write(Range rows, Range cols, const Rows& x, Index x_begin, const Rows& z, Index z_begin) {
    const auto x_names = names_of(K_.row_map(), x_begin, "row");
    const auto z_names = names_of(K_.col_map(), z_begin, column_name(part_));
    for (Index i = rows.begin; i < rows.end; i += kTileRows) {
      const Index m = std::min(kTileRows, rows.end - i);
      MatrixView<T> target = K_.local().block(i, cols.begin, m, cols.size());
      MatrixView<double> tile;
      if constexpr (std::is_same_v<T, double>)
        tile = target;
      else
        tile = scratch(m, cols.size());
      evaluate_tile(kernel_, {x, x_names}, i - x_begin, {z, z_names}, cols.begin - z_begin, tile);
      for (Index c = 0; c < tile.cols; ++c) {
        const double* from = tile.column(c);
        T* to = target.column(c);
        if constexpr (std::is_same_v<T, double>) {
          for (Index r = 0; r < m; ++r) to[r] = from[r] * scale_;
        } else {
          to_single(from, m, scale_, to, x_names, i - x_begin, z_names, cols.begin - z_begin + c);
          add_to_sums(from, to, {i, i + m}, K_.col_map().global({cols.begin + c}));
        }
      }
      done_ += static_cast<double>(m * cols.size());
      if (progress_) progress_(std::min(1.0, done_ / all_));
    }
  }
  /// Throws InputError on all ranks where the entries of K vanish in T. Collective.
  void require_kept(const comm::Communicator& comm) {
    if constexpr (std::is_same_v<T, float>) {
      double both[2] = {sums_.exact, sums_.kept};
      comm.all_reduce(std::span<double>(both), comm::Op::sum);
      gram::require_kept({both[0], both[1]});
    }
  }

 private:
  /// Adds, of the local rows `rows` of a column, the diagonal entry where K is symmetric, else all.
  void add_to_sums(const double* from, const float* to, Range rows, GlobalIndex column) {
    if (part_ == Part::all) {
      for (Index r = 0; r < rows.size(); ++r) sums_.add(scale_ * from[r], to[r]);
      return;
    }
    const Index i = K_.row_map().local(column).value - rows.begin;
    if (K_.row_map().mine(column) && i >= 0 && i < rows.size()) sums_.add(scale_ * from[i], to[i]);
  }
  /// Entries that this rank evaluates: of a lower triangle with whole blocks on the diagonal.
  double entries() const {
    const auto all = static_cast<double>(K_.local_rows());
    double sum = 0;
    for (Index c = 0; c < K_.local_cols(); c += K_.nb()) {
      const auto above =
          part_ == Part::all ? 0 : K_.row_map().lower_bound(K_.col_map().global({c})).value;
      sum += static_cast<double>(std::min(K_.nb(), K_.local_cols() - c)) *
             (all - static_cast<double>(above));
    }
    return sum;
  }
  MatrixView<double> scratch(Index m, Index n) {
    if (scratch_.size() < m * n) scratch_ = Matrix<double>(m, n);
    return {scratch_.data(), m, n, std::max<Index>(1, m)};
  }
  const kernel::Kernel& kernel_;
  DistMatrix<T>& K_;
  double scale_;
  Part part_;
  const std::function<void(double)>& progress_;
  double all_, done_ = 0;  ///< entries: of this rank, and evaluated
  SingleSums sums_;
  Matrix<double> scratch_;
};

/// Calls f(rows, cols) for rectangles that cover the local entries of the lower triangle in `rows`
/// and `cols`: one large rectangle below the diagonal blocks, then the same for each half of the
/// columns; at the diagonal whole blocks.
template <class F>
void cover_lower(const BlockCyclic1D& row_map, const BlockCyclic1D& col_map, Range rows, Range cols,
                 F&& f) {
  if (cols.size() == 0 || rows.size() == 0) return;
  const GlobalIndex first_block{col_map.global({cols.begin}).value / col_map.nb * col_map.nb};
  const GlobalIndex past_last{col_map.global({cols.end - 1}).value + 1};
  const Index top = std::max(rows.begin, row_map.lower_bound(first_block).value);
  if (cols.size() <= col_map.nb) {
    if (top < rows.end) f(Range{top, rows.end}, cols);
    return;
  }
  const Index full = std::clamp(row_map.lower_bound(past_last).value, top, std::max(top, rows.end));
  if (full < rows.end) f(Range{full, rows.end}, cols);
  const Index middle = cols.begin + ceil_div(cols.size() / 2, col_map.nb) * col_map.nb;
  const Range above{rows.begin, std::min(full, rows.end)};
  cover_lower(row_map, col_map, above, {cols.begin, middle}, f);
  cover_lower(row_map, col_map, above, {middle, cols.end}, f);
}

template <class T>
DistMatrix<T> allocate(const ProcessGrid& grid, Index rows, Index cols, Index nb) {
  return comm::together(grid.all(), [&] {
    try {
      return DistMatrix<T>(grid, rows, cols, nb);
    } catch (const std::bad_alloc&) {
      throw MemoryError("no memory for this rank's share of the {} x {} kernel matrix", rows, cols);
    }
  });
}

/// Fills K(i, j) = scale k(z_i, x_j), in panels of rows and columns that fit the memory budget.
template <class T>
void fill(const kernel::Kernel& kernel, const RowBlock<double>& Z, const RowBlock<double>& X,
          DistMatrix<T>& K, double scale, Part part, const Options& options) {
  const auto& all = K.grid().all();
  const bool active = K.grid().active();
  const double row_cost = bytes_per_row(kernel, X.cols());
  const double scratch = scratch_bytes(kernel);
  const Index budget_rows =
      static_cast<Index>(std::max(1.0, (options.panel_bytes - scratch) / row_cost));
  // Fetches are collective: every rank makes as many as process (0, 0), which has most rows.
  const Index most_rows = K.row_map().size_of(0), most_cols = K.col_map().size_of(0);
  const Index rows_a_panel = most_rows <= budget_rows / 2 ? most_rows : budget_rows * 2 / 3;
  const Index cols_a_panel = std::max(K.nb(), budget_rows - std::min(most_rows, rows_a_panel));
  const auto row_panels = parts(most_rows, rows_a_panel, K.nb());
  const auto col_panels = parts(most_cols, cols_a_panel, K.nb());

  TileWriter<T> writer(kernel, K, scale, part, options.progress);
  if (options.progress) options.progress(0);
  const auto mine = [active](Range panel, Index local) {
    return active ? Range{std::min(panel.begin, local), std::min(panel.end, local)} : Range{};
  };
  for (const Range& row_panel : row_panels) {
    const Range rows = mine(row_panel, K.local_rows());
    const auto z = prepared(kernel, Z, K.row_map(), rows, "row");
    for (const Range& col_panel : col_panels) {
      // Skip columns that on every rank lie above the diagonal in all rows of the panel.
      if (part == Part::lower && col_panel.begin / K.nb() * K.grid().cols() * K.nb() >=
                                     (ceil_div(row_panel.end, K.nb()) * K.grid().rows()) * K.nb())
        continue;
      const Range cols = mine(col_panel, K.local_cols());
      const auto x = prepared(kernel, X, K.col_map(), cols, column_name(part));
      comm::together(all, [&] {
        for (const Range& strip : parts(cols.size(), kStripCols, K.nb())) {
          const Range c{cols.begin + strip.begin, cols.begin + strip.end};
          const auto write = [&](Range r, Range s) {
            writer.write(r, s, *z, rows.begin, *x, cols.begin);
          };
          if (part == Part::all)
            write(rows, c);
          else
            cover_lower(K.row_map(), K.col_map(), rows, c, write);
        }
      });
    }
  }
  writer.require_kept(all);
}

/// Throws InputError where rows of Z cannot be paired with rows of X. Local.
void require_same_columns(const RowBlock<double>& Z, const RowBlock<double>& X) {
  if (Z.cols() != X.cols())
    throw InputError(
        "the {} new rows have {} inputs, the {} training rows {}: k(z, x) needs equal "
        "numbers",
        Z.rows(), Z.cols(), X.rows(), X.cols());
}

}  // namespace

double bytes_per_row(const kernel::Kernel& kernel, Index d) {
  // The fetched row, its copy in the message buffer, and what the kernel keeps of it.
  return static_cast<double>(kernel.bytes_per_row(d)) +
         2.0 * static_cast<double>(d) * sizeof(double);
}

bool by_tiles(const kernel::Kernel& kernel, const Options& options) {
  constexpr double kCostly = 64;  // steps; sending an entry takes as long as one or two
  return options.checkpoint.asked() || kernel.steps_per_entry() > kCostly;
}

template <class T>
DistMatrix<T> assemble(const kernel::Kernel& kernel, const RowBlock<double>& X,
                       const ProcessGrid& grid, const Options& options) {
  const Index n = X.rows();
  auto K = allocate<T>(grid, n, n, options.nb);
  const double scale = n > 0 && options.over_n ? 1.0 / static_cast<double>(n) : 1.0;
  if (by_tiles(kernel, options))
    fill_by_tiles(kernel, X, X, K, scale, true, options);
  else
    fill(kernel, X, X, K, scale, Part::lower, options);
  dist::mirror_lower(K);
  return K;
}

template <class T>
DistMatrix<T> assemble_cross(const kernel::Kernel& kernel, const RowBlock<double>& Z,
                             const RowBlock<double>& X, const ProcessGrid& grid,
                             const Options& options) {
  require_same_columns(Z, X);
  auto K = allocate<T>(grid, Z.rows(), X.rows(), options.nb);
  if (by_tiles(kernel, options))
    fill_by_tiles(kernel, Z, X, K, 1.0, false, options);
  else
    fill(kernel, Z, X, K, 1.0, Part::all, options);
  return K;
}

RowBlock<double> apply_cross(const kernel::Kernel& kernel, const RowBlock<double>& Z,
                             const RowBlock<double>& X, const RowBlock<double>& A,
                             const Options& options) {
  const Index n = X.rows(), c = A.cols(), m = Z.local_rows();
  require_same_columns(Z, X);
  if (A.rows() != n)
    throw InputError("{} rows of coefficients do not belong to {} training rows", A.rows(), n);
  RowBlock<double> F(Z.comm(), Z.rows(), c);
  std::ranges::fill(F.values(), 0.0);
  const double scale = n > 0 ? 1.0 / static_cast<double>(n) : 1.0;
  const Index most_rows = Z.partition().size(0);
  const Index budget_rows = static_cast<Index>(std::max(
      64.0, (options.panel_bytes - scratch_bytes(kernel)) / bytes_per_row(kernel, X.cols())));
  const auto z_panels = parts(most_rows, std::min(most_rows, budget_rows * 2 / 3) + 1, 1);
  const auto x_panels = parts(n, std::min<Index>(4096, std::max<Index>(64, budget_rows / 3)), 1);
  const Index strip = columns_at_once(kernel, std::min(m, kTileRows), kStripCols);
  Matrix<double> tile(kTileRows, kStripCols);
  double done = 0;
  if (options.progress) options.progress(0);
  for (const Range& z_panel : z_panels) {
    const Range rows{std::min(m, z_panel.begin), std::min(m, z_panel.end)};
    const auto z_names = names_from(Z.first_row() + rows.begin, "row");
    const auto z =
        comm::together(Z.comm(), [&] { return prepare(kernel, own_rows(Z, rows), z_names); });
    for (const Range& panel : x_panels) {
      std::vector<Index> wanted(static_cast<std::size_t>(panel.size()));
      std::iota(wanted.begin(), wanted.end(), panel.begin);
      auto x_rows = dist::fetch_rows<double>(X, wanted);
      const auto alpha = dist::fetch_rows<double>(A, wanted);
      comm::together(Z.comm(), [&] {
        const auto x_names = names_from(panel.begin, "column");
        const auto x = prepare(kernel, std::move(x_rows), x_names);
        for (Index j = 0; j < panel.size(); j += strip)
          for (Index i = 0; i < rows.size(); i += kTileRows) {
            const Index h = std::min(kTileRows, rows.size() - i);
            const Index w = std::min(strip, panel.size() - j);
            const MatrixView<double> k{tile.data(), h, w, h};
            evaluate_tile(kernel, {*z, z_names}, i, {*x, x_names}, j, k);
            blas::gemm<double>(blas::Trans::no, blas::Trans::yes, scale,
                               alpha.view().block(0, j, c, w), k, 1.0,
                               F.transposed().block(0, rows.begin + i, c, h));
            done += static_cast<double>(h * w);
            if (options.progress) options.progress(done / static_cast<double>(m * n));
          }
      });
    }
  }
  return F;
}

namespace {

/// Passes this rank's rows to `see`, prepared kTileRows at a time. Collective.
void for_rows(const kernel::Kernel& kernel, const RowBlock<double>& X,
              const std::function<void(const Rows&)>& see) {
  comm::together(X.comm(), [&] {
    for (Index i = 0; i < X.local_rows(); i += kTileRows) {
      const Index end = std::min(i + kTileRows, X.local_rows());
      see(*prepare(kernel, own_rows(X, {i, end}), names_from(X.first_row() + i, "row")));
    }
  });
}

std::vector<double> diagonal_of(const kernel::Kernel& kernel, const Rows& rows) {
  std::vector<double> diagonal(static_cast<std::size_t>(rows.size()));
  kernel.diagonal(rows, 0, rows.size(), diagonal.data());
  return diagonal;
}

}  // namespace

double kernel_error_estimate(const kernel::Kernel& kernel, const RowBlock<double>& X) {
  double error = 0;
  for_rows(kernel, X, [&](const Rows& rows) { error = std::max(error, rows.error_estimate()); });
  return X.comm().all_reduce(error, comm::Op::max);
}

double trace(const kernel::Kernel& kernel, const RowBlock<double>& X) {
  double sum = 0;
  for_rows(kernel, X, [&](const Rows& rows) {
    for (const double k : diagonal_of(kernel, rows)) sum += k;
  });
  return X.comm().all_reduce(sum, comm::Op::sum) /
         static_cast<double>(std::max<Index>(1, X.rows()));
}

std::vector<double> diagonal(const kernel::Kernel& kernel, const RowBlock<double>& X) {
  std::vector<double> all;
  for_rows(kernel, X, [&](const Rows& rows) {
    const auto some = diagonal_of(kernel, rows);
    all.insert(all.end(), some.begin(), some.end());
  });
  return all;
}

double require_normal(const kernel::Kernel& kernel, const RowBlock<double>& X) {
  double entry = 0, error = 0;
  for_rows(kernel, X, [&](const Rows& rows) {
    error = std::max(error, rows.error_estimate());
    entry = std::max(entry, std::ranges::max(diagonal_of(kernel, rows)));
  });
  entry = X.comm().all_reduce(entry, comm::Op::max);
  double input = 0;
  for (const double x : X.values()) input = std::max(input, std::abs(x));
  input = X.comm().all_reduce(input, comm::Op::max);
  if (input > 0 && entry < std::numeric_limits<double>::min())
    throw InputError(
        "kernel matrix: its largest entry is {:.1e}, below the smallest normal double (2.2e-308): "
        "give larger inputs (the largest is {:.1e}; `scale` or `standardize`), or a `bias_std`",
        entry, input);
  return X.comm().all_reduce(error, comm::Op::max);
}

double assemble_overhead(const kernel::Kernel& kernel, Index n, Index d, dist::GridShape shape,
                         const Options& options, double element_bytes) {
  if (by_tiles(kernel, options))
    return tiles_cost(kernel, n, n, d, true, shape.rows * shape.cols, options.panel_bytes,
                      element_bytes)
        .bytes;
  const double of_rows = static_cast<double>(ceil_div(n, shape.rows));
  const double of_cols = static_cast<double>(ceil_div(n, shape.cols));
  const double scratch = scratch_bytes(kernel), rows = of_rows + of_cols;
  if (rows * bytes_per_row(kernel, d) + scratch > options.panel_bytes) return options.panel_bytes;
  // One panel: the row copies in message buffers are freed before K's pages are first touched.
  const double kept = rows * static_cast<double>(kernel.bytes_per_row(d)) + scratch;
  const double copies = 2.0 * sizeof(double) * static_cast<double>(d) * of_cols;
  return kept + std::max(0.0, copies - sizeof(float) * of_rows * of_cols);
}

template DistMatrix<double> assemble<double>(const kernel::Kernel&, const RowBlock<double>&,
                                             const ProcessGrid&, const Options&);
template DistMatrix<float> assemble<float>(const kernel::Kernel&, const RowBlock<double>&,
                                           const ProcessGrid&, const Options&);
template DistMatrix<double> assemble_cross<double>(const kernel::Kernel&, const RowBlock<double>&,
                                                   const RowBlock<double>&, const ProcessGrid&,
                                                   const Options&);
template DistMatrix<float> assemble_cross<float>(const kernel::Kernel&, const RowBlock<double>&,
                                                 const RowBlock<double>&, const ProcessGrid&,
                                                 const Options&);

}  // namespace mercer::gram
