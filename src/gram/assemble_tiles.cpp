#include "assemble_tiles.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "entries.hpp"
#include "mercer/base/timer.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/io/parts_file.hpp"
#include "tile_delivery.hpp"

namespace mercer::gram {
namespace {

constexpr double kRoundBytes = 32.0 * 1024 * 1024;
constexpr Index kSums = sizeof(SingleSums);

/// Rows that can be prepared together.
Index rows_for(const kernel::Kernel& kernel, Index d, double panel_bytes) {
  const double rest = panel_bytes - static_cast<double>(kernel.scratch_bytes());
  return static_cast<Index>(std::max(1.0, rest / bytes_per_row(kernel, d)));
}

Index entries_of_a_round(double element_bytes) {
  return static_cast<Index>(kRoundBytes / element_bytes);
}

/// Prepared rows of some tile rows or tile columns, one behind the other.
class TileRows {
 public:
  /// `of`: numbers of tiles of `tile` rows of X, ascending. Collective.
  TileRows(const kernel::Kernel& kernel, const RowBlock<double>& X, Index tile,
           std::vector<Index> of, const char* set)
      : tile_(tile), of_(std::move(of)) {
    for (const Index T : of_)
      for (Index i = T * tile; i < std::min(X.rows(), (T + 1) * tile); ++i) numbers_.push_back(i);
    names_ = {[this](Index i) { return numbers_[static_cast<std::size_t>(i)]; }, set};
    Matrix<double> rows = dist::fetch_rows<double>(X, numbers_);
    rows_ = comm::together(X.comm(), [&] { return prepare(kernel, std::move(rows), names_); });
  }
  TileRows(const TileRows&) = delete;
  TileRows& operator=(const TileRows&) = delete;

  NamedRows named() const { return {*rows_, names_}; }
  const RowNames& names() const { return names_; }
  /// The first row of a tile among those prepared. (Only the last tile of X may be shorter.)
  Index begin(Index T) const { return (std::ranges::lower_bound(of_, T) - of_.begin()) * tile_; }

 private:
  Index tile_;
  std::vector<Index> of_, numbers_;
  RowNames names_;
  std::unique_ptr<kernel::Rows> rows_;
};

/// K, tile by tile. Borrows its arguments.
template <class T>
class TileAssembly {
 public:
  TileAssembly(const kernel::Kernel& kernel, const RowBlock<double>& Z, const RowBlock<double>& X,
               DistMatrix<T>& K, double scale, bool lower, const Options& options)
      : kernel_(kernel),
        Z_(Z),
        X_(X),
        K_(K),
        scale_(scale),
        options_(options),
        list_(tiles_of(kernel, K.rows(), K.cols(), lower)),
        delivery_(list_, K),
        done_(static_cast<std::size_t>(list_.size()), 0) {}

  void run() {
    if (options_.checkpoint.asked()) open();
    if (options_.checkpoint.resume) restore();
    std::vector<Index> missing;
    for (Index part = 0; part < list_.size(); ++part)
      if (done_[static_cast<std::size_t>(part)] == 0) missing.push_back(part);
    const TileSchedule schedule(list_, std::move(missing), ranks(), most_rows(), most_entries());
    own_ = schedule.evaluated(all().rank());
    since_.reset();
    if (options_.progress) options_.progress(restored_);
    for (Index round = 0; round < schedule.rounds(); ++round) evaluate(schedule, round);
    if constexpr (std::is_same_v<T, float>) {
      double both[2] = {sums_.exact, sums_.kept};
      all().all_reduce(std::span<double>(both), comm::Op::sum);
      require_kept({both[0], both[1]});
    }
  }

 private:
  const comm::Communicator& all() const { return K_.grid().all(); }
  int ranks() const { return all().size(); }
  Index most_rows() const { return rows_for(kernel_, X_.cols(), options_.panel_bytes); }
  Index most_entries() const { return entries_of_a_round(sizeof(T)); }

  io::Identity identity() const {
    const auto whole = [](Index x) { return fmt::format("{}", x); };
    io::Identity all{{"checkpoint of", "a kernel matrix"}};
    all.insert(all.end(), options_.checkpoint.problem.begin(), options_.checkpoint.problem.end());
    all.insert(all.end(), {{"entries", fmt::format("{} x {}{}", list_.rows, list_.cols,
                                                   list_.lower ? ", lower triangle" : "")},
                           {"precision", std::is_same_v<T, float> ? "single" : "double"},
                           {"factor", fmt::format("{}", scale_)},
                           {"rows of a tile", whole(list_.tile)},
                           {"columns of a strip", whole(list_.strip)}});
    return all;
  }

  void open() {
    const auto& checkpoint = options_.checkpoint;
    std::vector<Index> bytes;
    for (const Tile& t : list_.tiles) bytes.push_back(bytes_of(t));
    file_.emplace(checkpoint.resume
                      ? io::PartsFile::open(all(), checkpoint.path, identity(), bytes)
                      : io::PartsFile::create(all(), checkpoint.path, identity(), bytes));
  }

  /// What the file holds of a tile: its entries, and behind them its SingleSums.
  Index bytes_of(const Tile& t) const {
    return list_.entries(t) * static_cast<Index>(sizeof(T)) + kSums;
  }

  /// Reads the tiles that the file has, each rank its share, and sends them to their places.
  void restore() {
    std::vector<Index> every(static_cast<std::size_t>(list_.size()));
    std::iota(every.begin(), every.end(), 0);
    const TileSchedule schedule(list_, std::move(every), ranks(), list_.rows + list_.cols,
                                most_entries());
    double entries = 0, whole = 0;
    for (Index round = 0; round < schedule.rounds(); ++round) {
      const auto mine = schedule.of(all().rank(), round);
      RawVector<T> values;
      std::vector<char> good;
      comm::together(all(), [&] {
        for (const Index part : mine) good.push_back(read(list_[part], part, values) ? 1 : 0);
      });
      const auto of_all = all().all_gather(std::span<const char>(good));
      std::vector<std::vector<Index>> parts(static_cast<std::size_t>(ranks()));
      std::size_t next = 0;
      for (int rank = 0; rank < ranks(); ++rank)
        for (const Index part : schedule.of(rank, round)) {
          const auto weight = static_cast<double>(list_.evaluated(list_[part]));
          whole += weight;
          if (of_all[next++] == 0) continue;
          parts[static_cast<std::size_t>(rank)].push_back(part);
          done_[static_cast<std::size_t>(part)] = 1;
          entries += weight;
        }
      delivery_.send(parts, values);
    }
    restored_ = whole > 0 ? entries / whole : 1;
    if (options_.checkpoint.log)
      options_.checkpoint.log(
          fmt::format("{}: {:.1f} % of the entries", options_.checkpoint.path, 100 * restored_));
  }

  /// Appends the entries of a tile to `values`: false where the file does not have it.
  bool read(const Tile& t, Index part, RawVector<T>& values) {
    contents_.resize(static_cast<std::size_t>(bytes_of(t)));
    if (!file_->read(part, contents_)) return false;
    const std::size_t begin = values.size();
    values.resize(begin + static_cast<std::size_t>(list_.entries(t)));
    std::memcpy(values.data() + begin, contents_.data(), contents_.size() - kSums);
    SingleSums sums;
    std::memcpy(&sums, contents_.data() + contents_.size() - kSums, kSums);
    sums_.exact += sums.exact, sums_.kept += sums.kept;
    return true;
  }

  /// A round of the tiles that are missing. Throws Error `interrupted` on all ranks.
  void evaluate(const TileSchedule& schedule, Index round) {
    std::vector<std::vector<Index>> parts;
    Index entries = 0;
    for (int rank = 0; rank < ranks(); ++rank) {
      const auto of = schedule.of(rank, round);
      parts.emplace_back(of.begin(), of.end());
    }
    const auto& mine = parts[static_cast<std::size_t>(all().rank())];
    for (const Index part : mine) entries += list_.entries(list_[part]);
    RawVector<T> values =
        comm::together(all(), [&] { return RawVector<T>(static_cast<std::size_t>(entries)); });
    bool stopped = false;
    {
      const auto rows = prepared(mine);
      comm::together(all(), [&] { stopped = !evaluate(mine, rows, values); });
    }
    if (file_ && all().all_reduce(stopped ? 1 : 0, comm::Op::max) != 0) stop();
    delivery_.send(parts, values);
  }

  struct Prepared {
    std::unique_ptr<TileRows> rows,
        other;  ///< other: the columns of a matrix that is not symmetric
    const TileRows& cols() const { return other ? *other : *rows; }
  };
  Prepared prepared(const std::vector<Index>& mine) const {
    Prepared result;
    result.rows = std::make_unique<TileRows>(kernel_, Z_, list_.tile,
                                             touched(list_, mine, true, list_.lower), "row");
    if (!list_.lower)
      result.other = std::make_unique<TileRows>(kernel_, X_, list_.tile,
                                                touched(list_, mine, false, true), "column");
    return result;
  }

  /// Evaluates tiles into `values`, and writes them to the file from time to time and at the end:
  /// false where it was interrupted. Local.
  bool evaluate(const std::vector<Index>& mine, const Prepared& rows, RawVector<T>& values) {
    unsaved_.clear();
    T* out = values.data();
    bool stopped = false;
    for (const Index part : mine) {
      SingleSums sums;
      stopped = !evaluate(list_[part], rows, out, sums);
      if (stopped) break;
      sums_.exact += sums.exact, sums_.kept += sums.kept;
      if (file_) unsaved_.push_back({part, out, sums});
      out += list_.entries(list_[part]);
      if (file_ && since_.seconds() >= options_.checkpoint.seconds) save();
    }
    if (file_) save();
    return !stopped;
  }

  /// One tile, strip by strip, into `out`: false where it was interrupted. Local.
  bool evaluate(const Tile& t, const Prepared& rows, T* out, SingleSums& sums) {
    const Index h = list_.height(t), w = list_.width(t), step = list_.strip_of(t);
    const Index x = rows.rows->begin(t.I), z = rows.cols().begin(t.J);
    if (list_.diagonal(t)) std::fill_n(out, h * w, T(0));
    for (Index j = 0; j < w; j += step) {
      if (file_ && options_.interrupted && options_.interrupted()) return false;
      const Index top = list_.diagonal(t) ? j : 0, cols = std::min(step, w - j);
      MatrixView<double> strip;
      if constexpr (std::is_same_v<T, double>)
        strip = {out + top + j * h, h - top, cols, h};
      else
        strip = scratch(h - top, cols);
      evaluate_tile(kernel_, rows.rows->named(), x + top, rows.cols().named(), z + j, strip);
      for (Index c = 0; c < cols; ++c)
        finish(strip, c, out + top + (j + c) * h, rows, x + top, z + j + c,
               list_.diagonal(t) ? j + c - top : -1, sums);
      evaluated_ += static_cast<double>((h - top) * cols);
      if (options_.progress)
        options_.progress(std::min(1.0, restored_ + (1 - restored_) * evaluated_ / own_));
    }
    return true;
  }

  /// Column c of a strip, times scale_, in T. `diagonal`: its row on the diagonal of K, or -1.
  void finish(MatrixView<double> strip, Index c, T* to, const Prepared& rows, Index x, Index z,
              Index diagonal, SingleSums& sums) const {
    const double* from = strip.column(c);
    if constexpr (std::is_same_v<T, double>) {
      for (Index r = 0; r < strip.rows; ++r) to[r] = from[r] * scale_;
    } else {
      to_single(from, strip.rows, scale_, to, rows.rows->names(), x, rows.cols().names(), z);
      if (diagonal >= 0) sums.add(scale_ * from[diagonal], to[diagonal]);
      for (Index r = 0; r < strip.rows && !list_.lower; ++r) sums.add(scale_ * from[r], to[r]);
    }
  }

  MatrixView<double> scratch(Index m, Index n) {
    if (scratch_.size() < m * n) scratch_ = Matrix<double>(m, n);
    return {scratch_.data(), m, n, std::max<Index>(1, m)};
  }

  /// Writes what is not yet in the file. Where that fails, the next call tries again. Local.
  void save() {
    try {
      for (const Finished& tile : unsaved_) {
        const Tile& t = list_[tile.part];
        contents_.resize(static_cast<std::size_t>(bytes_of(t)));
        std::memcpy(contents_.data(), tile.values, contents_.size() - kSums);
        std::memcpy(contents_.data() + contents_.size() - kSums, &tile.sums, kSums);
        file_->write(tile.part, contents_);
      }
      file_->sync();
      for (const Finished& tile : unsaved_)
        saved_ += static_cast<double>(list_.evaluated(list_[tile.part]));
      unsaved_.clear();
      failure_.clear();
    } catch (const Error& error) {
      failure_ = error.what();
      if (options_.checkpoint.warn) options_.checkpoint.warn(failure_);
    }
    since_.reset();
  }

  /// Ends the run. Collective.
  [[noreturn]] void stop() {
    comm::together(all(), [&] {
      if (!failure_.empty())
        throw RunError("interrupted, and the checkpoint could not be written: {}", failure_);
    });
    double sums[2] = {saved_, own_};
    all().all_reduce(std::span<double>(sums), comm::Op::sum);
    const double share = restored_ + (1 - restored_) * (sums[1] > 0 ? sums[0] / sums[1] : 1);
    throw Error(
        ExitCode::interrupted,
        fmt::format("interrupted after {:.1f} % of the entries: {} holds them, `resume` goes "
                    "on",
                    100 * share, options_.checkpoint.path));
  }

  /// A tile that is not yet in the file.
  struct Finished {
    Index part;
    const T* values;
    SingleSums sums;
  };

  const kernel::Kernel& kernel_;
  const RowBlock<double>&Z_, &X_;
  DistMatrix<T>& K_;
  double scale_;
  const Options& options_;
  TileList list_;
  TileDelivery<T> delivery_;
  std::vector<char> done_;                      ///< whether the file had the tile
  double restored_ = 0;                         ///< share of the entries that the file had
  double own_ = 0, evaluated_ = 0, saved_ = 0;  ///< entries of this rank
  SingleSums sums_;
  Matrix<double> scratch_;
  std::optional<io::PartsFile> file_;
  std::vector<Finished> unsaved_;
  std::vector<std::byte> contents_;
  std::string failure_;  ///< why the file could not be written
  Timer since_;
};

}  // namespace

TileList tiles_of(const kernel::Kernel& kernel, Index m, Index n, bool lower) {
  return {m, n, lower, kernel.steps_per_entry()};
}

template <class T>
void fill_by_tiles(const kernel::Kernel& kernel, const RowBlock<double>& Z,
                   const RowBlock<double>& X, DistMatrix<T>& K, double scale, bool lower,
                   const Options& options) {
  TileAssembly<T>(kernel, Z, X, K, scale, lower, options).run();
}

TilesCost tiles_cost(const kernel::Kernel& kernel, Index m, Index n, Index d, bool lower, int ranks,
                     double panel_bytes, double element_bytes) {
  const TileList list = tiles_of(kernel, m, n, lower);
  std::vector<Index> every(static_cast<std::size_t>(list.size()));
  std::iota(every.begin(), every.end(), 0);
  const TileSchedule schedule(list, std::move(every), ranks, rows_for(kernel, d, panel_bytes),
                              entries_of_a_round(element_bytes));
  const auto rows = static_cast<double>(schedule.most_rows());
  const double kept = rows * static_cast<double>(kernel.bytes_per_row(d));
  const double copies = rows * 2.0 * sizeof(double) * static_cast<double>(d);
  // The tiles; while rows are fetched their copies in messages; then the tiles packed and received.
  const double tiles = element_bytes * static_cast<double>(schedule.most_entries());
  const double strips = sizeof(double) * static_cast<double>(list.tile * list.strip);
  TilesCost cost;
  cost.bytes = static_cast<double>(kernel.scratch_bytes()) + strips + tiles +
               std::max(kept + copies, 2 * tiles);
  for (int rank = 0; rank < ranks; ++rank) {
    cost.entries = std::max(cost.entries, schedule.evaluated(rank));
    cost.prepared = std::max(cost.prepared, schedule.prepared(rank));
  }
  return cost;
}

double checkpoint_bytes(const kernel::Kernel& kernel, Index m, Index n, bool lower,
                        double element_bytes) {
  const TileList list = tiles_of(kernel, m, n, lower);
  std::vector<Index> bytes;
  for (const Tile& t : list.tiles)
    bytes.push_back(static_cast<Index>(element_bytes) * list.entries(t) + kSums);
  return static_cast<double>(io::PartsFile::size_of(bytes));
}

template void fill_by_tiles<double>(const kernel::Kernel&, const RowBlock<double>&,
                                    const RowBlock<double>&, DistMatrix<double>&, double, bool,
                                    const Options&);
template void fill_by_tiles<float>(const kernel::Kernel&, const RowBlock<double>&,
                                   const RowBlock<double>&, DistMatrix<float>&, double, bool,
                                   const Options&);

}  // namespace mercer::gram
