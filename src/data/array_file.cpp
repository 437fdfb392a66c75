#include "array_file.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace mercer::data {
namespace {

constexpr Index kRawBytes = Index{1} << 22;

template <class T>
T element(const char* bytes, bool swap) {
  char copy[sizeof(T)];
  if (swap)
    std::reverse_copy(bytes, bytes + sizeof(T), copy);
  else
    std::memcpy(copy, bytes, sizeof(T));
  T value;
  std::memcpy(&value, copy, sizeof(T));
  return value;
}

template <class T>
void widen(const char* bytes, Index count, bool swap, double* out, Index stride) {
  for (Index i = 0; i < count; ++i)
    out[i * stride] =
        static_cast<double>(element<T>(bytes + i * static_cast<Index>(sizeof(T)), swap));
}

void widen(ElementType type, const char* bytes, Index count, bool swap, double* out, Index stride) {
  switch (type) {
    case ElementType::u1:
    case ElementType::boolean:
      return widen<std::uint8_t>(bytes, count, swap, out, stride);
    case ElementType::i1:
      return widen<std::int8_t>(bytes, count, swap, out, stride);
    case ElementType::u2:
      return widen<std::uint16_t>(bytes, count, swap, out, stride);
    case ElementType::i2:
      return widen<std::int16_t>(bytes, count, swap, out, stride);
    case ElementType::u4:
      return widen<std::uint32_t>(bytes, count, swap, out, stride);
    case ElementType::i4:
      return widen<std::int32_t>(bytes, count, swap, out, stride);
    case ElementType::u8:
      return widen<std::uint64_t>(bytes, count, swap, out, stride);
    case ElementType::i8:
      return widen<std::int64_t>(bytes, count, swap, out, stride);
    case ElementType::f4:
      return widen<float>(bytes, count, swap, out, stride);
    case ElementType::f8:
      return widen<double>(bytes, count, swap, out, stride);
    case ElementType::ascii:
    case ElementType::ucs4:
      return;  // texts are read by read_texts()
  }
}

/// Appends a code point in UTF-8.
void append_utf8(std::string& text, std::uint32_t c) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  const auto tail = [&](int shift) { put(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    tail(6);
    tail(0);
  } else {
    put(0xF0 | ((c >> 18) & 0x07));
    tail(12);
    tail(6);
    tail(0);
  }
}

/// Product of the extents in bytes; throws where it passes 2^62.
Index total_bytes(const std::string& path, const ArrayLayout& layout) {
  Index bytes = layout.element_bytes();
  for (Index extent : layout.shape) {
    if (extent > 0 && bytes > (Index{1} << 62) / extent)
      throw InputError("{}: corrupt: its header promises more than 2^62 bytes", path);
    bytes *= extent;
  }
  return bytes;
}

}  // namespace

Index ArrayLayout::element_bytes() const {
  switch (type) {
    case ElementType::ascii:
      return characters;
    case ElementType::ucs4:
      return 4 * characters;
    case ElementType::u2:
    case ElementType::i2:
      return 2;
    case ElementType::u4:
    case ElementType::i4:
    case ElementType::f4:
      return 4;
    case ElementType::u8:
    case ElementType::i8:
    case ElementType::f8:
      return 8;
    default:
      return 1;
  }
}

ArrayFile::ArrayFile(ByteStream stream, ArrayLayout layout)
    : stream_(std::move(stream)), layout_(std::move(layout)) {
  if (layout_.shape.empty()) throw InputError("{}: holds a single number, rows are needed", path());
  std::string extents;
  for (Index extent : layout_.shape)
    extents += (extents.empty() ? "" : " x ") + std::to_string(extent);
  const Index bytes = total_bytes(path(), layout_);
  if (bytes == 0)
    throw InputError("{}: has no rows or no columns (its shape is {})", path(), extents);
  stream_.expect_size(layout_.offset + bytes);
  for (std::size_t j = 1; j < layout_.shape.size(); ++j) cols_ *= layout_.shape[j];
  if (cols_ == 1 || rows() == 1) layout_.fortran = layout_.fortran && layout_.shape.size() > 2;
}

ImageShape ArrayFile::image() const {
  const auto& s = layout_.shape;
  if (s.size() == 3) return {s[1], s[2], 1};
  if (s.size() == 4) return {s[1], s[2], s[3]};
  return {};
}

void ArrayFile::convert(Index at, Index count, double* out, Index stride, Index row_of_message) {
  const Index size = layout_.element_bytes();
  raw_.resize(static_cast<std::size_t>(std::min(count * size, kRawBytes)));
  stream_.seek(layout_.offset + at * size);
  const bool swap = layout_.big_endian == (std::endian::native == std::endian::little);
  for (Index done = 0; done < count;) {
    const Index part = std::min(count - done, kRawBytes / size);
    stream_.read_exactly(raw_.data(), part * size,
                         fmt::format("what starts with row {}", row_of_message + 1));
    widen(layout_.type, raw_.data(), part, swap, out + done * stride, stride);
    done += part;
  }
}

std::vector<std::string> ArrayFile::read_texts(Index first, Index count) {
  const Index size = layout_.element_bytes();
  const bool swap = layout_.big_endian == (std::endian::native == std::endian::little);
  std::vector<char> bytes(static_cast<std::size_t>(size));
  std::vector<std::string> texts(static_cast<std::size_t>(count));
  stream_.seek(layout_.offset + first * size);
  for (auto& text : texts) {
    stream_.read_exactly(bytes.data(), size, fmt::format("row {}", ++first));
    if (layout_.type == ElementType::ascii)
      text.assign(bytes.data(), strnlen(bytes.data(), bytes.size()));
    for (Index i = 0; layout_.type == ElementType::ucs4 && i < layout_.characters; ++i)
      if (const auto c = element<std::uint32_t>(bytes.data() + 4 * i, swap); c != 0)
        append_utf8(text, c);
  }
  return texts;
}

void ArrayFile::read_c(Index first, Index count, double* out, Index stride) {
  if (stride == cols_) return convert(first * cols_, count * cols_, out, 1, first);
  if (cols_ == 1) return convert(first, count, out, stride, first);
  for (Index i = 0; i < count; ++i)
    convert((first + i) * cols_, cols_, out + i * stride, 1, first + i);
}

void ArrayFile::read_fortran(Index first, Index count, double* out, Index stride) {
  const auto& shape = layout_.shape;
  std::vector<Index> at(shape.size(), 0);  // trailing indices, the first fastest, as in the file
  for (Index f = 0; f < cols_; ++f) {
    Index c = 0;
    for (std::size_t j = 1; j < shape.size(); ++j) c = c * shape[j] + at[j];
    convert(f * rows() + first, count, out + c, stride, first);
    for (std::size_t j = 1; j < shape.size(); ++j) {
      if (++at[j] < shape[j]) break;
      at[j] = 0;
    }
  }
}

void ArrayFile::refuse_infinite(Index row, Index column, double value) {
  constexpr Index kPanel = Index{1} << 16;
  std::vector<double> panel(static_cast<std::size_t>(kPanel));
  Index found = 0;
  for (Index at = 0, end = rows() * cols_; at < end; at += kPanel) {
    const Index count = std::min(kPanel, end - at);
    convert(at, count, panel.data(), 1, 0);
    found += std::count_if(panel.begin(), panel.begin() + count,
                           [](double x) { return !std::isfinite(x); });
  }
  throw InputError("{}: row {}, column {} (counted from 1): {} is not a finite number{}", path(),
                   row + 1, column + 1, value,
                   found > 1 ? fmt::format(", one of {} in this file", found) : "");
}

void ArrayFile::read(Index first, Index count, double* out, Index stride, bool nan) {
  if (layout_.fortran)
    read_fortran(first, count, out, stride);
  else
    read_c(first, count, out, stride);
  if (is_float(layout_.type))
    for (Index i = 0; i < count; ++i)
      for (Index j = 0; j < cols_; ++j)
        if (const double x = out[i * stride + j]; !std::isfinite(x) && !(nan && std::isnan(x)))
          refuse_infinite(first + i, j, x);
  if (first + count == rows() && stream_.compressed() &&
      stream_.position() == layout_.offset + rows() * cols_ * layout_.element_bytes())
    stream_.expect_end();
}

}  // namespace mercer::data
