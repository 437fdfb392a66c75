#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mercer/gram/assemble.hpp"

namespace mercer::gram {

/// Identifies a set of data rows by the hash of the prepared inputs in their order
/// (data::Dataset::hash).
struct RowIdentity {
  std::string name;  ///< for errors: "the training rows (npy:X.npy)"
  std::uint64_t hash = 0;
  Index rows = 0;
};

/// Where a kernel matrix comes from: a kernel function, or a file in the layout that mercer-kernel
/// writes. That is the dataset /kernel of values k(x_i, x_j), not divided by n, with attributes at
/// the root: data_hash of the rows, data2_hash of the columns where they are another set, and
/// `kernel`, the text of the kernel function.
class Source {
 public:
  static Source function(std::shared_ptr<const kernel::Kernel> kernel);
  /// "K.h5" or "K.h5,CROSS.h5": k(train, train) and k(test, train). Reads nothing yet. Local.
  /// Throws InputError where no file is named.
  static Source stored(const std::string& paths);

  bool is_stored() const { return kernel_ == nullptr; }
  const kernel::Kernel& kernel() const { return *kernel_; }  ///< not of a stored matrix
  /// The same, shared; null for a stored matrix.
  std::shared_ptr<const kernel::Kernel> shared_kernel() const { return kernel_; }
  /// Canonical text: the kernel's own, or "file:K.h5".
  const std::string& text() const { return text_; }
  const std::string& matrix_path() const { return matrix_; }
  const std::string& cross_path() const { return cross_; }

  /// n of a stored matrix. Collective. Throws InputError: no such file, no /kernel, not square, or
  /// n = 0.
  Index stored_size(const comm::Communicator& comm) const;

  /// Checks that a stored K.h5 is k of the rows `train`. Returns lines for the user on what a file
  /// without hashes (written elsewhere) leaves unchecked; none for a kernel function. Throws
  /// InputError where the size differs, or the hash: other rows, another order or another
  /// preparation (it names the file and both hashes). Collective.
  std::vector<std::string> verify(const comm::Communicator& comm, const RowIdentity& train) const;
  /// The same for CROSS.h5 = k(test, train), or its transpose where the hashes say so; and that
  /// CROSS.h5 and K.h5 are of the same kernel, where both files state theirs. Also throws where no
  /// CROSS.h5 was named. Call it before apply_cross(), which needs to know of a transpose. The
  /// second call for the same rows does nothing and returns no lines. Collective.
  std::vector<std::string> verify_cross(const comm::Communicator& comm, const RowIdentity& test,
                                        const RowIdentity& train);

 private:
  std::shared_ptr<const kernel::Kernel> kernel_;
  std::string text_, matrix_, cross_;
  bool transposed_ = false;                                      ///< CROSS.h5 is k(train, test)
  std::optional<std::pair<RowIdentity, RowIdentity>> verified_;  ///< verify_cross() was called for

  friend RowBlock<double> apply_cross(const Source& source, const RowBlock<double>& Z,
                                      const RowBlock<double>& X, const RowBlock<double>& A,
                                      const Options& options);
};

/// The text of the kernel function whose values the file at `path` holds (its attribute `kernel`);
/// empty where it does not say. Collective.
std::optional<std::string> stored_kernel(const comm::Communicator& comm, const std::string& path);

/// As the function of the same name for a kernel::Kernel. A stored matrix must be n x n with n =
/// X.rows() (any n where X has no rows), finite, and symmetric to the rounding of its type (1e-10
/// of its largest entry for float64, 1e-6 for float32); InputError otherwise. It is made symmetric
/// to the bit and always divided by n. Whether it belongs to the rows X: Source::verify().
/// Collective. Memory for a stored matrix: two copies of K's share.
template <class T>
DistMatrix<T> assemble(const Source& source, const RowBlock<double>& X, const ProcessGrid& grid,
                       const Options& options = {});
/// F = (1/n) k(Z, X) A. A stored kernel reads its cross matrix by rows, m n/P numbers a rank with
/// m = Z.rows(); InputError where it has another shape than m x n or is not finite, or where the
/// source names none. Collective.
RowBlock<double> apply_cross(const Source& source, const RowBlock<double>& Z,
                             const RowBlock<double>& X, const RowBlock<double>& A,
                             const Options& options = {});
/// The same for Z = X: K A with K's entries evaluated (or read) again, for checks. Collective.
RowBlock<double> apply(const Source& source, const RowBlock<double>& X, const RowBlock<double>& A,
                       const Options& options = {});

}  // namespace mercer::gram
