#include "mercer/la/elpa.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

// The only file that includes ELPA's header, which includes <complex.h>: its macro I breaks
// templates.
#include <elpa/elpa.h>
#undef I

#include "mercer/comm/together.hpp"

namespace mercer::la {
namespace {

// Declared without extern "C" in the header of ELPA 2022.11, though it is a C function.
extern "C" const char* elpa_strerr(int error);

int release_elpa(MPI_Comm, int, void*, void*) {
  int error = 0;
  elpa_uninit(&error);
  return MPI_SUCCESS;
}

/// Calls elpa_init once per process, and elpa_uninit when MPI_Finalize frees the attributes of
/// MPI_COMM_SELF, the last moment at which it may call MPI. Local.
void start_elpa() {
  static const int started = [] {
    if (elpa_init(ELPA_API_VERSION) != ELPA_OK)
      throw RunError("ELPA does not offer the interface (API {}) that Mercer was compiled for",
                     ELPA_API_VERSION);
    int key = MPI_KEYVAL_INVALID;
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, release_elpa, &key, nullptr);
    MPI_Comm_set_attr(MPI_COMM_SELF, key, nullptr);
    return 1;
  }();
  (void)started;
}

/// An ELPA handle for an n x n problem; freed with the object.
class Handle {
 public:
  Handle() : handle_(elpa_allocate(&error_)) { check("elpa_allocate"); }
  ~Handle() {
    if (handle_ != nullptr) elpa_deallocate(handle_, &error_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  void set(const char* name, int value) {
    elpa_set_integer(handle_, name, value, &error_);
    check(name);
  }
  int get(const char* name) {
    int value = 0;
    elpa_get_integer(handle_, name, &value, &error_);
    check(name);
    return value;
  }
  /// Collective over the communicator of the layout, as solve() is. Both return ELPA's error code,
  /// which is not thrown here: the ranks have to agree on it first.
  int setup() { return elpa_setup(handle_); }
  int solve(double* a, double* values, double* vectors) {
    if (vectors != nullptr)
      elpa_eigenvectors_double(handle_, a, values, vectors, &error_);
    else
      elpa_eigenvalues_double(handle_, a, values, &error_);
    return error_;
  }
  int solve(float* a, float* values, float* vectors) {
    if (vectors != nullptr)
      elpa_eigenvectors_float(handle_, a, values, vectors, &error_);
    else
      elpa_eigenvalues_float(handle_, a, values, &error_);
    return error_;
  }

 private:
  void check(const char* what) const {
    if (error_ != ELPA_OK)
      throw RunError("ELPA: {}: {} (code {})", what, elpa_strerr(error_), error_);
  }
  int error_ = ELPA_OK;
  elpa_t handle_ = nullptr;
};

/// An n x n matrix over a communicator, and the part of it on process (row, col).
struct Layout {
  Index n, local_rows, local_cols, nb;
  MPI_Comm comm;
  int row, col;
};

void describe(Handle& handle, const Layout& layout, Index count) {
  const int n = to_int(layout.n, "rows");
  handle.set("na", n);
  handle.set("nev", to_int(count, "eigenvectors"));
  handle.set("local_nrows", to_int(layout.local_rows, "local rows"));
  handle.set("local_ncols", to_int(layout.local_cols, "local columns"));
  handle.set("nblk", to_int(layout.nb, "block size"));
  handle.set("mpi_comm_parent", static_cast<int>(MPI_Comm_c2f(layout.comm)));
  handle.set("process_row", layout.row);
  handle.set("process_col", layout.col);
}

/// Whether ELPA gives the right eigenvalues of a 16 x 16 diagonal matrix in single precision.
/// Local.
bool solves_in_single_precision() {
  constexpr Index n = 16;
  std::vector<float> a(n * n, 0.0F), v(n * n, 0.0F), w(n, 0.0F);
  for (Index i = 0; i < n; ++i)
    a[static_cast<std::size_t>(i * (n + 1))] = static_cast<float>(i + 1);
  try {
    Handle handle;
    describe(handle, {n, n, n, n, MPI_COMM_SELF, 0, 0}, n);
    if (handle.setup() != ELPA_OK) return false;
    handle.set("solver", ELPA_SOLVER_1STAGE);
    if (handle.solve(a.data(), w.data(), v.data()) != ELPA_OK) return false;
  } catch (const RunError&) {
    return false;
  }
  for (Index i = 0; i < n; ++i)
    if (!(std::abs(w[static_cast<std::size_t>(i)] - static_cast<float>(i + 1)) <= 1e-4F))
      return false;
  return true;
}

std::string kernel_name(int kernel) {
#define MERCER_KERNEL_NAME(name, value, ...) {value, #name},
  static const std::map<int, std::string> names = {
      ELPA_FOR_ALL_2STAGE_REAL_KERNELS(MERCER_KERNEL_NAME)};
#undef MERCER_KERNEL_NAME
  const auto found = names.find(kernel);
  return found == names.end() ? fmt::format("kernel {}", kernel) : found->second;
}

/// All ranks throw if one of them has an error. Collective over all().
void agree_on(const dist::ProcessGrid& grid, int error, const char* what) {
  comm::agree_or_throw(grid.all(), error == ELPA_OK, ExitCode::failed,
                       error == ELPA_OK
                           ? std::string()
                           : fmt::format("ELPA {}: {} (code {})", what, elpa_strerr(error), error));
}

/// A uniform number in [-1, 1), a function of the unordered pair of indices (SplitMix64's
/// finaliser).
double dither(Index i, Index j) {
  auto z = static_cast<std::uint64_t>(std::min(i, j)) * 0x9E3779B97F4A7C15U +
           static_cast<std::uint64_t>(std::max(i, j)) + 1;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  z ^= z >> 31;
  return static_cast<double>(static_cast<std::int64_t>(z)) * 0x1p-63;
}

/// Adds symmetric noise of at most 2 epsilon max |A_ij| to every entry. ELPA 2022.11 computes the
/// norm of a Householder vector without scaling it. Columns of one panel that are exactly
/// proportional (equal data points; min(i, j)) leave rounding errors that are proportional again
/// and 1e-16 times as large from one column to the next, until their squares underflow: then the
/// 2-stage solver returns OK and eigenvalues that are wrong by up to 0.1 lambda_1. Independent
/// noise stops that cascade; its norm is below the solver's own rounding errors. Collective.
template <class T>
void roughen(dist::DistMatrix<T>& A) {
  T largest = 0;
  const MatrixView<T> a = A.local();
  for (Index j = 0; j < a.cols; ++j)
    for (Index i = 0; i < a.rows; ++i) largest = std::max(largest, std::abs(a(i, j)));
  largest = A.grid().all().all_reduce(largest, comm::Op::max);
  const double unit = 2 * static_cast<double>(std::numeric_limits<T>::epsilon() * largest);
  std::vector<Index> rows(static_cast<std::size_t>(a.rows));
  for (Index i = 0; i < a.rows; ++i)
    rows[static_cast<std::size_t>(i)] = A.row_map().global({i}).value;
  for (Index j = 0; j < a.cols; ++j) {
    const Index column = A.col_map().global({j}).value;
    for (Index i = 0; i < a.rows; ++i)
      a(i, j) += static_cast<T>(unit * dither(rows[static_cast<std::size_t>(i)], column));
  }
}

ElpaBuild probe() {
  start_elpa();
  ElpaBuild build;
  build.version = fmt::format("{} (API {})", MERCER_ELPA_VERSION, ELPA_API_VERSION);
  Handle handle;
  describe(handle, {64, 64, 64, 16, MPI_COMM_SELF, 0, 0}, 64);
  if (const int error = handle.setup(); error != ELPA_OK)
    throw RunError("ELPA: elpa_setup: {} (code {})", elpa_strerr(error), error);
  handle.set("solver", ELPA_SOLVER_2STAGE);
  build.default_kernel = kernel_name(handle.get("real_kernel"));
  build.generic_kernels = build.default_kernel.find("GENERIC") != std::string::npos;
  build.single_precision = solves_in_single_precision();
  return build;
}

}  // namespace

const ElpaBuild& elpa_build() {
  static const ElpaBuild build = probe();
  return build;
}

bool elpa_accepts(Index n, Index nb, dist::GridShape shape) {
  return n > 0 && nb * (std::max(shape.rows, shape.cols) - 1) < n;
}

template <class T>
std::vector<double> elpa(dist::DistMatrix<T>&& A_in, dist::DistMatrix<T>& V, Index count,
                         ElpaStage stage, bool vectors) {
  dist::DistMatrix<T> A = std::move(A_in);
  const auto& grid = A.grid();
  const Index n = A.rows();
  if (n != A.cols() || count < 0 || count > n)
    throw InputError("ELPA: {} eigenvectors of a {} x {} matrix", count, n, A.cols());
  if (vectors && (V.rows() != n || V.cols() != n || V.nb() != A.nb() || &V.grid() != &grid))
    throw InputError("ELPA: the eigenvectors need the matrix's shape and distribution");
  if (n == 0 || count == 0) return {};
  if (!elpa_accepts(n, A.nb(), grid.shape()))
    throw InputError(
        "ELPA cannot work on n = {} with blocks of {} on a {} x {} grid: a process row "
        "or column is empty; take blocks of less than {} or a smaller grid",
        n, A.nb(), grid.rows(), grid.cols(),
        ceil_div(n, std::max(1, std::max(grid.rows(), grid.cols()) - 1)));
  start_elpa();
  std::vector<T> w(static_cast<std::size_t>(n));
  std::unique_ptr<Handle> handle;
  comm::together(grid.all(), [&] {
    if (!grid.active()) return;
    handle = std::make_unique<Handle>();
    describe(*handle,
             {n, A.local_rows(), A.local_cols(), A.nb(), grid.active_ranks().handle(), grid.row(),
              grid.col()},
             count);
  });
  const char* solver = stage == ElpaStage::one ? "1-stage solver" : "2-stage solver";
  agree_on(grid, handle ? handle->setup() : ELPA_OK, "elpa_setup");
  comm::together(grid.all(), [&] {
    if (handle)
      handle->set("solver", stage == ElpaStage::one ? ELPA_SOLVER_1STAGE : ELPA_SOLVER_2STAGE);
  });
  roughen(A);
  const int error =
      handle ? handle->solve(A.data(), w.data(), vectors ? V.data() : nullptr) : ELPA_OK;
  handle.reset();
  agree_on(grid, error, solver);
  std::vector<double> values(w.begin(), w.begin() + count);
  grid.all().broadcast(std::span<double>(values), 0);
  return values;
}

template std::vector<double> elpa(dist::DistMatrix<double>&&, dist::DistMatrix<double>&, Index,
                                  ElpaStage, bool);
template std::vector<double> elpa(dist::DistMatrix<float>&&, dist::DistMatrix<float>&, Index,
                                  ElpaStage, bool);

}  // namespace mercer::la
