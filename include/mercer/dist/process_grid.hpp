#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "mercer/comm/communicator.hpp"

namespace mercer::dist {

struct GridShape {
  int rows = 1;
  int cols = 1;
  friend bool operator==(GridShape, GridShape) = default;
};

/// The most square P x Q with P <= Q and P Q = ranks.
GridShape default_shape(int ranks);
/// "2x3" -> {2, 3}. Throws InputError, naming the text, unless it is a grid of `ranks` ranks.
GridShape parse_shape(std::string_view text, int ranks);

/// A rows x cols grid of the first rows*cols ranks of a communicator, row-major: rank r sits at
/// (r / cols, r mod cols). The other ranks are idle, which is no error: they have coordinates -1
/// and no local elements, but take part in every collective call over all().
///
/// Move-only. Owns the communicators of the grid, of its rows and columns, and the BLACS context
/// (freed in the destructor, unless MPI has been finalised; Open MPI aborts after some 16 000
/// leaked grids); shares the one it is made from. Construction and destruction are collective.
class ProcessGrid {
 public:
  /// Throws InputError where `shape` does not fit into `comm`. Aborts the run where BLACS and MPI
  /// disagree on the coordinates.
  ProcessGrid(const comm::Communicator& comm, GridShape shape);
  explicit ProcessGrid(const comm::Communicator& comm)
      : ProcessGrid(comm, default_shape(comm.size())) {}
  ~ProcessGrid();
  ProcessGrid(ProcessGrid&&) noexcept;
  ProcessGrid& operator=(ProcessGrid&&) noexcept;

  /// Everything from here on is local.
  int rows() const { return shape_.rows; }
  int cols() const { return shape_.cols; }
  GridShape shape() const { return shape_; }
  int row() const { return row_; }  ///< this rank's coordinates; -1 when idle
  int col() const { return col_; }
  bool active() const { return row_ >= 0; }
  int rank_at(int row, int col) const { return row * shape_.cols + col; }  ///< in all()

  const comm::Communicator& all() const { return all_; }            ///< idle ranks included
  const comm::Communicator& active_ranks() const { return grid_; }  ///< invalid on idle ranks
  const comm::Communicator& row_comm() const { return row_comm_; }  ///< ranks of one process row
  const comm::Communicator& col_comm() const { return col_comm_; }  ///< of one process column
  int blacs_context() const { return context_; }                    ///< -1 when idle

 private:
  void release() noexcept;
  GridShape shape_;
  int row_ = -1;
  int col_ = -1;
  int context_ = -1;
  int system_handle_ = -1;
  comm::Communicator all_;
  comm::Communicator grid_;
  comm::Communicator row_comm_;
  comm::Communicator col_comm_;
};

}  // namespace mercer::dist
