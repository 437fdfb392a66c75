#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "mercer/base/allocate.hpp"
#include "mercer/base/index.hpp"

namespace mercer {

/// Leaves new elements uninitialised, so that a matrix of gigabytes is touched first by the code
/// that fills it (allocate.hpp: alignment, huge pages).
template <class T>
struct RawAllocator {
  using value_type = T;
  RawAllocator() = default;
  template <class U>
  RawAllocator(const RawAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(allocate_bytes(n * sizeof(T))); }
  void deallocate(T* p, std::size_t n) { free_bytes(p, n * sizeof(T)); }
  template <class U, class... Args>
  void construct(U* p, Args&&... args) {
    if constexpr (sizeof...(Args) == 0)
      ::new (static_cast<void*>(p)) U;
    else
      ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
  }
  friend bool operator==(RawAllocator, RawAllocator) { return true; }
};
template <class T>
using RawVector = std::vector<T, RawAllocator<T>>;

/// A borrowed column-major matrix: element (i, j) is data[i + j ld].
template <class T>
struct MatrixView {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index ld = 1;

  T& operator()(Index i, Index j) const { return data[i + j * ld]; }
  T* column(Index j) const { return data + j * ld; }
  MatrixView block(Index i, Index j, Index m, Index n) const {
    return {data + i + j * ld, m, n, ld};
  }
  operator MatrixView<const T>() const { return {data, rows, cols, ld}; }
};

/// A local column-major matrix that owns its elements; move-only, so that no kernel matrix is
/// copied by accident: copy() is explicit. Elements start uninitialised unless a value is given.
template <class T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(Index rows, Index cols)
      : rows_(rows), cols_(cols), values_(static_cast<std::size_t>(rows * cols)) {}
  Matrix(Index rows, Index cols, T value)
      : rows_(rows), cols_(cols), values_(static_cast<std::size_t>(rows * cols), value) {}
  Matrix(Matrix&&) noexcept = default;
  Matrix& operator=(Matrix&&) noexcept = default;
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;

  Matrix copy() const {
    Matrix m(rows_, cols_);
    m.values_ = values_;
    return m;
  }

  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  Index ld() const { return rows_ > 0 ? rows_ : 1; }
  Index size() const { return rows_ * cols_; }
  T* data() { return values_.data(); }
  const T* data() const { return values_.data(); }
  T& operator()(Index i, Index j) { return values_[static_cast<std::size_t>(i + j * rows_)]; }
  const T& operator()(Index i, Index j) const {
    return values_[static_cast<std::size_t>(i + j * rows_)];
  }
  T* column(Index j) { return values_.data() + j * rows_; }
  const T* column(Index j) const { return values_.data() + j * rows_; }
  MatrixView<T> view() { return {data(), rows_, cols_, ld()}; }
  MatrixView<const T> view() const { return {data(), rows_, cols_, ld()}; }

 private:
  Index rows_ = 0;
  Index cols_ = 0;
  RawVector<T> values_;
};

}  // namespace mercer
