#pragma once

#include <string>
#include <vector>

#include "byte_stream.hpp"
#include "mercer/data/dataset.hpp"

namespace mercer::data {

/// Of an array's elements. ascii and ucs4: texts of fixed length, NumPy's 'S' and 'U'.
enum class ElementType { u1, i1, u2, i2, u4, i4, u8, i8, f4, f8, boolean, ascii, ucs4 };
inline bool is_float(ElementType type) {
  return type == ElementType::f4 || type == ElementType::f8;
}

/// How an array lies in its file.
struct ArrayLayout {
  ElementType type = ElementType::f8;
  Index characters = 0;  ///< of an element that is a text
  bool big_endian = false;
  bool fortran = false;  ///< first index fastest
  std::vector<Index> shape;
  Index offset = 0;  ///< byte of the first element

  bool texts() const { return type == ElementType::ascii || type == ElementType::ucs4; }
  Index element_bytes() const;
};

/// An array in a file, read as rows x (product of the other extents), in C order whatever the order
/// in the file. Local. Throws InputError: wrong magic number, a malformed header, a file size that
/// is not what the header says, no rows, NaN and infinity.
class ArrayFile {
 public:
  static ArrayFile npy(const std::string& path);
  static ArrayFile idx(const std::string& path);

  const ArrayLayout& layout() const { return layout_; }
  const std::string& path() const { return stream_.path(); }
  bool compressed() const { return stream_.compressed(); }
  Index rows() const { return layout_.shape[0]; }
  Index cols() const { return cols_; }
  /// Height, width and channels of n x h x w and n x h x w x c arrays, zeros otherwise.
  ImageShape image() const;

  /// Rows first ... first + count - 1, row i at out + (i - first) stride. Cheap anywhere in a plain
  /// file. A compressed one is read on from where it is, and again from its start for earlier rows;
  /// in Fortran order each call reads all of it. Throws for NaN unless `nan`, for infinity always.
  void read(Index first, Index count, double* out, Index stride, bool nan = false);
  /// Rows first ... first + count - 1 of an array of texts, n x 1, in UTF-8.
  std::vector<std::string> read_texts(Index first, Index count);

 private:
  ArrayFile(ByteStream stream, ArrayLayout layout);
  void read_c(Index first, Index count, double* out, Index stride);
  void read_fortran(Index first, Index count, double* out, Index stride);
  /// Throws for this value, with the number of such values in the whole file.
  [[noreturn]] void refuse_infinite(Index row, Index column, double value);
  /// `count` elements at element `at` of the file, to out, out + stride, ...
  void convert(Index at, Index count, double* out, Index stride, Index row_of_message);

  ByteStream stream_;
  ArrayLayout layout_;
  Index cols_ = 1;
  std::vector<char> raw_;
};

}  // namespace mercer::data
