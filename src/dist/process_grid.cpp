#include "mercer/dist/process_grid.hpp"

#include <charconv>
#include <utility>

#include "mercer/base/error.hpp"
#include "mercer/comm/environment.hpp"

extern "C" {
int Csys2blacs_handle(MPI_Comm comm);
void Cfree_blacs_system_handle(int handle);
void Cblacs_gridinit(int* context, const char* order, int rows, int cols);
void Cblacs_gridinfo(int context, int* rows, int* cols, int* row, int* col);
void Cblacs_gridexit(int context);
}

namespace mercer::dist {

GridShape default_shape(int ranks) {
  int rows = 1;
  for (int r = 1; r * r <= ranks; ++r)
    if (ranks % r == 0) rows = r;
  return {rows, ranks / rows};
}

GridShape parse_shape(std::string_view text, int ranks) {
  GridShape shape{0, 0};
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, shape.rows);
  bool ok = first.ec == std::errc{} && first.ptr != end && *first.ptr == 'x';
  if (ok) {
    const auto second = std::from_chars(first.ptr + 1, end, shape.cols);
    ok = second.ec == std::errc{} && second.ptr == end && shape.rows > 0 && shape.cols > 0;
  }
  if (!ok) throw InputError("`grid` {}: is not a process grid: give it as 2x3", text);
  if (static_cast<Index>(shape.rows) * shape.cols != ranks)
    throw InputError("`grid` {}: {} x {} does not make the {} ranks of this run", text, shape.rows,
                     shape.cols, ranks);
  return shape;
}

ProcessGrid::ProcessGrid(const comm::Communicator& comm, GridShape shape)
    : shape_(shape),
      all_(comm),
      grid_(MPI_COMM_NULL),
      row_comm_(MPI_COMM_NULL),
      col_comm_(MPI_COMM_NULL) {
  if (shape.rows < 1 || shape.cols < 1 || static_cast<Index>(shape.rows) * shape.cols > comm.size())
    throw InputError("a {} x {} process grid does not fit the {} ranks of this run", shape.rows,
                     shape.cols, comm.size());
  const bool active = comm.rank() < shape.rows * shape.cols;
  grid_ = comm.split(active ? 0 : -1, comm.rank());
  if (!active) return;
  row_ = comm.rank() / shape.cols;
  col_ = comm.rank() % shape.cols;
  row_comm_ = grid_.split(row_, col_);
  col_comm_ = grid_.split(col_, row_);
  system_handle_ = Csys2blacs_handle(grid_.handle());
  context_ = system_handle_;
  Cblacs_gridinit(&context_, "Row", shape.rows, shape.cols);
  int rows = 0, cols = 0, row = -1, col = -1;
  Cblacs_gridinfo(context_, &rows, &cols, &row, &col);
  if (rows != shape.rows || cols != shape.cols || row != row_ || col != col_)
    comm::abort_run("ProcessGrid", "BLACS and MPI disagree on the grid's coordinates");
}

void ProcessGrid::release() noexcept {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (context_ >= 0 && !finalized) {
    Cblacs_gridexit(context_);
    Cfree_blacs_system_handle(system_handle_);
  }
  context_ = -1;
}

ProcessGrid::~ProcessGrid() {
  release();
}

ProcessGrid::ProcessGrid(ProcessGrid&& other) noexcept
    : shape_(other.shape_),
      row_(std::exchange(other.row_, -1)),
      col_(std::exchange(other.col_, -1)),
      context_(std::exchange(other.context_, -1)),
      system_handle_(std::exchange(other.system_handle_, -1)),
      all_(std::move(other.all_)),
      grid_(std::move(other.grid_)),
      row_comm_(std::move(other.row_comm_)),
      col_comm_(std::move(other.col_comm_)) {}

ProcessGrid& ProcessGrid::operator=(ProcessGrid&& other) noexcept {
  if (this != &other) {
    release();
    shape_ = other.shape_;
    row_ = std::exchange(other.row_, -1);
    col_ = std::exchange(other.col_, -1);
    context_ = std::exchange(other.context_, -1);
    system_handle_ = std::exchange(other.system_handle_, -1);
    all_ = std::move(other.all_);
    grid_ = std::move(other.grid_);
    row_comm_ = std::move(other.row_comm_);
    col_comm_ = std::move(other.col_comm_);
  }
  return *this;
}

}  // namespace mercer::dist
