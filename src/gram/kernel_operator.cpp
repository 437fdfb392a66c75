#include "mercer/gram/kernel_operator.hpp"

#include <algorithm>
#include <vector>

#include "mercer/base/memory.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "operator_plan.hpp"
#include "panels.hpp"
#include "product_loops.hpp"
#include "products.hpp"
#include "row_exchange.hpp"

namespace mercer::gram {

namespace {

/// The names in errors of consecutive rows from row `first` on.
RowNames names_from(Index first) {
  return {[first](Index i) { return first + i; }};
}

/// Rows `range` of this rank's rows, prepared.
std::unique_ptr<kernel::Rows> own_rows(const kernel::Kernel& kernel, const RowBlock<double>& X,
                                       Range range) {
  Matrix<double> rows(X.cols(), range.size());
  std::ranges::copy(X.values().subspan(static_cast<std::size_t>(range.begin * X.cols()),
                                       static_cast<std::size_t>(rows.size())),
                    rows.data());
  return prepare(kernel, std::move(rows), names_from(X.first_row() + range.begin));
}

std::size_t at(Index n) {
  return static_cast<std::size_t>(n);
}

}  // namespace

struct KernelOperator::State {
  State(const kernel::Kernel& kernel_, const RowBlock<double>& X_, const ProcessGrid& process_grid_,
        const OperatorOptions& options_)
      : kernel(kernel_),
        X(X_),
        comm(process_grid_.all()),
        options(options_),
        plan(plan_operator(kernel, X.rows(), X.cols(), options.block, process_grid_.shape(),
                           options, comm.size())),
        grid{X.rows(), plan.tile, process_grid_.shape()},
        scale(options.over_n && X.rows() > 0 ? 1.0 / static_cast<double>(X.rows()) : 1.0),
        exchange(comm, X.rows(), [&](int rank) { return grid.ranges(grid.touched_by(rank)); }),
        panels(kernel, X, grid),
        column(at(grid.tiles()), 0) {
    const auto tiles = grid.tiles_of(comm.rank());
    const Index count = stored_tiles(grid, comm.rank(), plan.storage, plan.tile_bytes).count;
    kept.assign(tiles.begin(), tiles.begin() + count);
    others.assign(tiles.begin() + count, tiles.end());
    Index next = 0;
    for (const Index T : grid.touched_by(comm.rank())) {
      column[at(T)] = next;
      next += grid.size(T);
    }
  }

  MatrixView<double> scratch_tile(const Tile& t) {
    return {scratch.data(), grid.size(t.I), grid.size(t.J), grid.size(t.I)};
  }
  void evaluate_tile(const Tile& t, MatrixView<double> out,
                     const std::function<bool()>& interrupted = {}) const {
    const RowNames rows = panels.names(t.I), cols = panels.names(t.J);
    evaluate(kernel, {panels[t.I], rows}, {panels[t.J], cols}, out, interrupted);
  }

  void allocate();
  void store();
  void product(MatrixView<const double> V, MatrixView<double> Y);
  template <class T>
  void multiply_tile(const Tile& t, const T* k, Index b);
  void multiply_kept(Index b);
  void multiply_others(Index b);

  const kernel::Kernel& kernel;
  const RowBlock<double>& X;
  comm::Communicator comm;
  OperatorOptions options;
  OperatorPlan plan;
  TileGrid grid;
  double scale;
  RowExchange exchange;
  Panels panels;
  std::vector<Index> column;       ///< where a tile's rows begin in `input` and `sum`
  std::vector<Tile> kept, others;  ///< this rank's tiles, stored or not; column by column
  RawVector<double> in_double;     ///< the stored tiles one after the other: k, not k/n
  RawVector<float> in_single;
  RawVector<double> scratch, piece;      ///< a computed tile; the columns that are multiplied
  RawVector<double> input, sum, buffer;  ///< of `block` vectors; see RowExchange
  Index block = 0;
};

/// Allocates the tiles that are stored, and scratch for one tile.
void KernelOperator::State::allocate() {
  Index entries = 0;
  for (const Tile& t : kept) entries += grid.entries(t);
  comm::together(comm, [&] {
    try {
      if (plan.storage == Storage::in_double)
        in_double.resize(at(entries));
      else
        in_single.resize(at(entries));
      const Index tile = std::min(grid.tile, grid.n);
      scratch.resize(at(tile * tile));
      piece.resize(at(tile * kPiece));
    } catch (const std::bad_alloc&) {
      throw MemoryError("no memory for this rank's tiles of K, {}: n = {}, storage {}",
                        format_bytes(plan.tile_bytes), grid.n, name(plan.storage));
    }
  });
}

void KernelOperator::State::store() {
  allocate();
  if (plan.stored_share == 0) return;
  Index next = 0;
  std::vector<Index> begins;
  for (const Tile& t : kept) {
    begins.push_back(next);
    next += grid.entries(t);
  }
  std::size_t done = 0;
  if (options.progress) options.progress(0);
  SingleSums sums;
  for (const Step& step : steps(grid, kept, plan.row_cycles, plan.col_cycles)) {
    panels.hold(step.hold);
    comm::together(comm, [&] {
      for (const Tile& t : step.tiles) {
        const auto place = std::ranges::lower_bound(kept, t, [](const Tile& a, const Tile& b) {
          return a.J != b.J ? a.J < b.J : a.I < b.I;
        });
        const Index begin = begins[at(place - kept.begin())];
        if (plan.storage == Storage::in_double) {
          evaluate_tile(t,
                        {in_double.data() + begin, grid.size(t.I), grid.size(t.J), grid.size(t.I)});
        } else {
          evaluate_tile(t, scratch_tile(t));
          const Index m = grid.size(t.I);
          const RowNames rows = panels.names(t.I), cols = panels.names(t.J);
          for (Index j = 0; j < grid.size(t.J); ++j) {
            const double* from = scratch.data() + j * m;
            float* to = in_single.data() + begin + j * m;
            to_single(from, m, 1, to, rows, 0, cols, j);
            if (t.I == t.J) sums.add(from[j], to[j]);
          }
        }
        ++done;
        if (options.progress)
          options.progress(static_cast<double>(done) / static_cast<double>(kept.size()));
      }
    });
  }
  double both[2] = {sums.exact, sums.kept};
  comm.all_reduce(std::span<double>(both), comm::Op::sum);
  require_kept({both[0], both[1]});
}

/// sum_I += K_IJ V_J and, off the diagonal, sum_J += K_IJ^T V_I; V and sum are kept transposed.
template <class T>
void KernelOperator::State::multiply_tile(const Tile& t, const T* k, Index b) {
  const auto part = [&](RawVector<double>& of, Index tile) {
    return of.data() + column[at(tile)] * b;
  };
  multiply(MatrixView<const T>{k, grid.size(t.I), grid.size(t.J), grid.size(t.I)}, b,
           part(input, t.I), part(input, t.J), part(sum, t.I),
           t.I != t.J ? part(sum, t.J) : nullptr, piece.data());
}

void KernelOperator::State::multiply_kept(Index b) {
  Index begin = 0;
  for (const Tile& t : kept) {
    give_up_if(options.interrupted);
    if (plan.storage == Storage::in_double)
      multiply_tile(t, in_double.data() + begin, b);
    else
      multiply_tile(t, in_single.data() + begin, b);
    begin += grid.entries(t);
  }
}

void KernelOperator::State::multiply_others(Index b) {
  for (const Step& step : steps(grid, others, plan.row_cycles, plan.col_cycles)) {
    if (!plan.panels_kept) panels.hold(step.hold);
    comm::together(comm, [&] {
      for (const Tile& t : step.tiles) {
        evaluate_tile(t, scratch_tile(t), options.interrupted);
        multiply_tile(t, scratch.data(), b);
      }
    });
  }
  if (!plan.panels_kept) panels.keep_only({});
}

void KernelOperator::State::product(MatrixView<const double> V, MatrixView<double> Y) {
  const Index b = V.cols;
  if (b > block) {  // on every rank alike
    comm::together(comm, [&] {
      input.resize(at(b * exchange.rows() + kBeyond));
      sum.resize(at(b * exchange.rows()));
      std::ranges::fill(input, 0.0);
      buffer.resize(at(b * exchange.requests()));
    });
    block = b;
  }
  const auto part = [&](RawVector<double>& of) {
    return MatrixView<double>{of.data(), b, exchange.rows(), b};
  };
  exchange.gather(V, buffer.data(), part(input));
  std::fill_n(sum.data(), b * exchange.rows(), 0.0);
  comm::together(comm, [&] { multiply_kept(b); });
  if (plan.stored_share < 1) multiply_others(b);
  exchange.add(part(sum), buffer.data(), Y);
  for (Index c = 0; c < b; ++c)
    for (Index i = 0; i < Y.rows; ++i) Y(i, c) *= scale;
}

KernelOperator::KernelOperator(const kernel::Kernel& kernel, const RowBlock<double>& X,
                               const ProcessGrid& grid, const OperatorOptions& options) {
  if (options.block < 1 || options.tile < 0)
    throw InputError(
        "operator: {} vectors a product, tiles of {} rows: give at least 1 vector, and 0 (chosen) "
        "or more rows",
        options.block, options.tile);
  state_ =
      comm::together(grid.all(), [&] { return std::make_unique<State>(kernel, X, grid, options); });
  state_->store();
  Panels& panels = state_->panels;
  if (state_->plan.stored_share == 1 || !state_->plan.panels_kept)
    panels.keep_only({});
  else
    for (const Step& step :
         steps(state_->grid, state_->others, state_->plan.row_cycles, state_->plan.col_cycles))
      panels.hold(step.hold);  // one step
}

KernelOperator::~KernelOperator() = default;

const comm::Communicator& KernelOperator::comm() const {
  return state_->comm;
}
Index KernelOperator::size() const {
  return state_->grid.n;
}
const OperatorPlan& KernelOperator::plan() const {
  return state_->plan;
}
Storage KernelOperator::storage() const {
  return state_->plan.storage;
}
double KernelOperator::stored_share() const {
  return state_->plan.stored_share;
}

void KernelOperator::apply(MatrixView<const double> V, MatrixView<double> Y) const {
  for (Index c = 0; c < V.cols; c += state_->options.block) {
    const Index b = std::min(state_->options.block, V.cols - c);
    state_->product(V.block(0, c, V.rows, b), Y.block(0, c, Y.rows, b));
  }
}

void KernelOperator::diagonal(std::span<double> d) const {
  comm::together(comm(), [&] {
    const Index n = state_->X.local_rows(), most = state_->grid.tile;
    for (Index i = 0; i < n; i += most) {
      const Index m = std::min(most, n - i);
      const auto rows = own_rows(state_->kernel, state_->X, {i, i + m});
      state_->kernel.diagonal(*rows, 0, m, d.data() + i);
      const RowNames names = names_from(first_row() + i);
      for (Index k = 0; k < m; ++k)
        require_finite(state_->kernel, {*rows, names}, k, {*rows, names}, k,
                       {d.data() + i + k, 1, 1, 1});
    }
    for (double& value : d) value *= state_->scale;
  });
}

void KernelOperator::columns(std::span<const Index> which, MatrixView<double> out) const {
  const Index n = state_->X.local_rows(), most = state_->grid.tile, p = std::ssize(which);
  for (Index j = 0; j < p; j += most) {
    const Index w = std::min(most, p - j);
    auto fetched = dist::fetch_rows<double>(
        state_->X, which.subspan(static_cast<std::size_t>(j), static_cast<std::size_t>(w)));
    comm::together(comm(), [&] {
      const RowNames z_names{[&](Index c) { return which[at(j + c)]; }};
      const auto z = prepare(state_->kernel, std::move(fetched), z_names);
      for (Index i = 0; i < n; i += most) {
        const Index m = std::min(most, n - i);
        const auto x = own_rows(state_->kernel, state_->X, {i, i + m});
        const auto part = out.block(i, j, m, w);
        evaluate_tile(state_->kernel, {*x, names_from(first_row() + i)}, 0, {*z, z_names}, 0, part);
        for (Index c = 0; c < w; ++c)
          for (Index r = 0; r < m; ++r) part(r, c) *= state_->scale;
      }
    });
  }
}

std::string KernelOperator::text() const {
  const OperatorPlan& plan = state_->plan;
  const std::string limit = format_bytes(state_->options.memory_bytes);
  const std::string panels =
      fmt::format("from panels of X that are {} ({} a rank)",
                  plan.panels_kept ? "kept" : "fetched again", format_bytes(plan.panel_bytes));
  if (plan.storage == Storage::none)
    return fmt::format("K computed again in every product, {}; tiles of {}, limit {}", panels,
                       plan.tile, limit);
  if (plan.storage == Storage::mixed)
    return fmt::format(
        "{:.0f} % of K kept in single ({} a rank), the rest computed again in every product, {}; "
        "tiles of {}, limit {}",
        100 * plan.stored_share, format_bytes(plan.tile_bytes), panels, plan.tile, limit);
  return fmt::format("K kept in {} ({} a rank); tiles of {}, limit {}", name(plan.storage),
                     format_bytes(plan.tile_bytes), plan.tile, limit);
}

}  // namespace mercer::gram
