#pragma once

#include <memory>
#include <string>

#include "mercer/gram/assemble.hpp"

namespace mercer::gram {

/// Where a kernel matrix comes from: a function of two inputs, or a file in the layout that
/// mercer-kernel writes (/kernel, values k(x_i, x_j), not divided by n).
class Source {
 public:
  static Source function(std::shared_ptr<const kernel::Kernel> kernel);
  /// "K.h5" or "K.h5,CROSS.h5": k(train, train) and k(test, train). Reads nothing yet.
  static Source stored(const std::string& paths);

  bool is_stored() const { return kernel_ == nullptr; }
  const kernel::Kernel& kernel() const { return *kernel_; }  ///< of a function
  /// Canonical text: the kernel's own, or "file:K.h5".
  const std::string& text() const { return text_; }
  const std::string& matrix_path() const { return matrix_; }
  const std::string& cross_path() const { return cross_; }

  /// n of a stored matrix. Collective. Throws InputError: missing, no /kernel, not square, n = 0.
  Index stored_size(const comm::Communicator& comm) const;

 private:
  std::shared_ptr<const kernel::Kernel> kernel_;
  std::string text_, matrix_, cross_;
};

/// As the functions of the same names for a kernel::Kernel. A stored matrix must be X.rows()
/// square, finite and symmetric to 1e-10 of its largest entry (InputError otherwise); it is made
/// symmetric to the bit. Collective.
template <class T>
DistMatrix<T> assemble(const Source& source, const RowBlock<double>& X, const ProcessGrid& grid,
                       const Options& options = {});
/// F = (1/n) k(Z, X) A; a stored kernel reads its cross matrix (Z.rows() x n) in panels of rows.
RowBlock<double> apply_cross(const Source& source, const RowBlock<double>& Z,
                             const RowBlock<double>& X, const RowBlock<double>& A,
                             const Options& options = {});
/// The same for Z = X: K A with K's entries evaluated (or read) again, for checks.
RowBlock<double> apply(const Source& source, const RowBlock<double>& X, const RowBlock<double>& A,
                       const Options& options = {});

}  // namespace mercer::gram
