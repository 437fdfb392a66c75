#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "mercer/data/dataset.hpp"
#include "mercer/gram/cost.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/jobs/monitor.hpp"

namespace mercer::jobs {

/// Throws InputError where K cannot be stored that way: a matrix from a file is kept in double
/// only, and a job in single precision does not store K in double. Local.
void check_storage(gram::Storage storage, const gram::Source& kernel, bool single);

/// Throws InputError where all of K underflows, and where the estimated error of its entries is 1
/// or more; warns where it is above 1e-8 (gram::require_normal(), kernel::Rows::error_estimate()).
/// Jobs call it before they begin. Phase: prepare. Collective. Cost: that of preparing every row.
void check_range(const kernel::Kernel& kernel, const dist::RowBlock<double>& X, Monitor& monitor);
/// The same where the kernel is a function; nothing for a stored matrix. Collective.
void check_range(const gram::Source& kernel, const dist::RowBlock<double>& X, Monitor& monitor);

/// Throws InputError where the rows are images of another shape than the kernel or network takes,
/// as data::expect_image(): `whose` is before that shape, "the kernel takes". Nothing where `image`
/// is not given. Local.
void check_images(const arch::Image& image, const data::Dataset& rows, const std::string& whose);
/// The same for the kernel, where it is a function. Local.
void check_images(const gram::Source& kernel, const data::Dataset& rows);

/// How matrix-vector products with K will be computed; decided before anything is allocated.
struct ProductPlan {
  gram::OperatorOptions options;  ///< once planned, .storage is not automatic
  gram::OperatorCost cost{};
  bool stored = false;  ///< K is read from a file: assembled, a MatrixOperator
};
/// Plans products with `block` vectors. `room`: bytes a rank for the operator. In single precision
/// `automatic` stores tiles in single, as many as fit. Throws MemoryError as gram::plan_operator().
/// Local.
ProductPlan plan_products(const gram::Source& kernel, const gram::Sizes& sizes,
                          gram::Storage storage, double room, Index block);

/// Writes storage, memory and block of the products to a checkpoint and reads them again, so that a
/// resumed run stores the same part of K, whatever memory is free then. read_storage() throws
/// InputError where they are missing or impossible. Collective.
void write_storage(io::Hdf5File& file, const ProductPlan& plan);
gram::OperatorOptions read_storage(const io::Hdf5File& file);
/// How K is stored in a run that resumes from `file`. `storage` as before, or automatic, on the
/// same number of ranks: as before and in the same memory, which gives the same bits. Otherwise in
/// `room` bytes a rank: as `storage` says; if automatic, as before, or less of it where that does
/// not fit. Throws as read_storage() and plan_products(). Collective.
ProductPlan resumed_products(const io::Hdf5File& file, gram::Storage storage,
                             const gram::Source& kernel, const gram::Sizes& sizes, double room);
/// Whether the run that wrote `file` had entries of K with the same rounding, so that the products
/// with K in its state are valid in this run; otherwise only its vectors are useful. Collective.
bool same_entries(const io::Hdf5File& file, const gram::Source& kernel, const ProductPlan& plan,
                  int ranks);

/// K as an operator, as planned.
class Products {
 public:
  /// Borrows kernel, X, grid and monitor. Computes the tiles that are stored, or assembles a K from
  /// a file; phase: assemble. `interrupted`: asked between the tiles of a product, which is given
  /// up where it returns true (gram::OperatorOptions); Checkpoints::interruption() for a solver
  /// with checkpoints. Throws as gram::KernelOperator or gram::assemble(). Collective.
  Products(const gram::Source& kernel, const dist::RowBlock<double>& X,
           const dist::ProcessGrid& grid, Index nb, const ProductPlan& plan, Monitor& monitor,
           const std::function<bool()>& interrupted = {});
  Products(const Products&) = delete;  // K() refers to a part of this object
  Products& operator=(const Products&) = delete;
  const gram::Operator& K() const { return *operator_; }
  std::string storage() const;  ///< gram::name() of the storage in use
  double stored_share() const;  ///< of K's entries
  /// One line for the log: what is stored, and in how many bytes.
  std::string text() const;

 private:
  std::optional<dist::DistMatrix<double>> matrix_;  ///< K from a file
  std::unique_ptr<gram::Operator> operator_;
  const gram::KernelOperator* kernel_ = nullptr;
};

}  // namespace mercer::jobs
