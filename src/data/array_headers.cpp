// The headers of NPY (versions 1 to 3 of NumPy's format) and IDX files.
#include <cstring>

#include "array_file.hpp"
#include "text.hpp"

namespace mercer::data {
namespace {

constexpr Index kLongestText = 1 << 20;  // characters

std::string hex(const unsigned char* bytes, Index count) {
  std::string text;
  for (Index i = 0; i < count; ++i) text += fmt::format("{}{:02x}", i > 0 ? " " : "", bytes[i]);
  return text;
}

/// The value of 'key' in the dictionary of an NPY header, up to the next comma outside parentheses.
std::string_view dictionary_value(const std::string& path, std::string_view header,
                                  std::string_view key) {
  auto at = header.find(fmt::format("'{}'", key));
  if (at != std::string_view::npos) at = header.find(':', at);
  if (at == std::string_view::npos)
    throw InputError("{}: corrupt: the NPY header has no '{}'", path, key);
  std::string_view value = header.substr(at + 1);
  Index depth = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '(' || value[i] == '[') ++depth;
    if (value[i] == ')' || value[i] == ']') --depth;
    if (depth < 0 || (depth == 0 && (value[i] == ',' || value[i] == '}')))
      return trimmed(value.substr(0, i));
  }
  throw InputError("{}: corrupt: the NPY header breaks off in '{}'", path, key);
}

/// '<f8' -> type and byte order.
void parse_dtype(const std::string& path, std::string_view text, ArrayLayout& layout) {
  constexpr std::pair<std::string_view, ElementType> known[] = {
      {"u1", ElementType::u1}, {"i1", ElementType::i1},     {"u2", ElementType::u2},
      {"i2", ElementType::i2}, {"u4", ElementType::u4},     {"i4", ElementType::i4},
      {"u8", ElementType::u8}, {"i8", ElementType::i8},     {"f4", ElementType::f4},
      {"f8", ElementType::f8}, {"b1", ElementType::boolean}};
  const bool plain = text.size() == 5 && text.front() == '\'' && text.back() == '\'';
  for (const auto& [name, type] : known)
    if (plain && text.substr(2, 2) == name && std::strchr("<>|=", text[1]) != nullptr) {
      layout.type = type;
      layout.big_endian = text[1] == '>';
      return;
    }
  if (text.size() > 4 && text.front() == '\'' && text.back() == '\'' &&
      std::strchr("<>|=", text[1]) != nullptr && (text[2] == 'U' || text[2] == 'S')) {
    const auto characters = parse_whole(text.substr(3, text.size() - 4));
    if (characters && *characters > 0 && *characters <= kLongestText) {
      layout.type = text[2] == 'U' ? ElementType::ucs4 : ElementType::ascii;
      layout.characters = *characters;
      layout.big_endian = text[1] == '>';
      return;
    }
  }
  throw InputError(
      "{}: elements of type {} cannot be read: real numbers of 4 or 8 bytes or integers "
      "are needed{}",
      path, quoted(text),
      text == "'|O'" ? " (a pickled array of objects: numpy.save(FILE, x.astype(float)), or "
                       "astype(str) for labels)"
                     : "");
}

std::vector<Index> parse_shape(const std::string& path, std::string_view text) {
  std::vector<Index> shape;
  if (text.size() < 2 || text.front() != '(' || text.back() != ')')
    throw InputError("{}: corrupt: the NPY header's shape is {}", path, quoted(text));
  for (text = trimmed(text.substr(1, text.size() - 2)); !text.empty();) {
    const auto comma = std::min(text.find(','), text.size());
    const auto extent = parse_whole(text.substr(0, comma));
    if (!extent || *extent < 0)
      throw InputError("{}: corrupt: the NPY header's shape has an extent {}", path,
                       quoted(text.substr(0, comma)));
    shape.push_back(*extent);
    text = trimmed(text.substr(std::min(comma + 1, text.size())));
  }
  return shape;
}

}  // namespace

ArrayFile ArrayFile::npy(const std::string& path) {
  ByteStream stream(path);
  unsigned char start[12] = {};
  const Index got = stream.read(start, 8);
  if (got < 6 || std::memcmp(start, "\x93NUMPY", 6) != 0)
    throw InputError(
        "{}: wrong magic number {} at byte 0: an NPY file starts with 93 4e 55 4d 50 59", path,
        hex(start, std::min<Index>(got, 6)));
  if (got < 8) throw InputError("{}: truncated: the NPY header breaks off at byte {}", path, got);
  const int version = start[6];
  if (version < 1 || version > 3)
    throw InputError("{}: NPY format version {}.{} at byte 6: versions 1 to 3 can be read", path,
                     version, start[7]);
  const Index length_bytes = version == 1 ? 2 : 4;
  stream.read_exactly(start + 8, length_bytes, "the NPY header");
  Index length = 0;
  for (Index i = length_bytes - 1; i >= 0; --i) length = length * 256 + start[8 + i];
  if (length > Index{1} << 20)
    throw InputError("{}: corrupt: a header of {} bytes, by byte 8", path, length);
  std::string header(static_cast<std::size_t>(length), '\0');
  stream.read_exactly(header.data(), length, "the NPY header");

  ArrayLayout layout;
  layout.offset = stream.position();
  parse_dtype(path, dictionary_value(path, header, "descr"), layout);
  const auto order = dictionary_value(path, header, "fortran_order");
  if (order != "True" && order != "False")
    throw InputError("{}: corrupt: the NPY header's fortran_order is {}", path, quoted(order));
  layout.fortran = order == "True";
  layout.shape = parse_shape(path, dictionary_value(path, header, "shape"));
  return ArrayFile(std::move(stream), std::move(layout));
}

ArrayFile ArrayFile::idx(const std::string& path) {
  ByteStream stream(path);
  unsigned char magic[4] = {};
  const Index got = stream.read(magic, 4);
  ArrayLayout layout;
  layout.big_endian = true;
  bool known = got == 4 && magic[0] == 0 && magic[1] == 0 && magic[3] > 0;
  switch (magic[2]) {
    case 0x08:
      layout.type = ElementType::u1;
      break;
    case 0x09:
      layout.type = ElementType::i1;
      break;
    case 0x0B:
      layout.type = ElementType::i2;
      break;
    case 0x0C:
      layout.type = ElementType::i4;
      break;
    case 0x0D:
      layout.type = ElementType::f4;
      break;
    case 0x0E:
      layout.type = ElementType::f8;
      break;
    default:
      known = false;
  }
  if (!known)
    throw InputError(
        "{}: wrong magic number {} at byte 0: an IDX file starts with 00 00, a type (08 "
        "for bytes) and the number of dimensions",
        path, hex(magic, got));
  for (int j = 0; j < magic[3]; ++j) {
    unsigned char bytes[4] = {};
    stream.read_exactly(bytes, 4, "the IDX header");
    Index extent = 0;
    for (unsigned char byte : bytes) extent = extent * 256 + byte;
    layout.shape.push_back(extent);
  }
  layout.offset = stream.position();
  return ArrayFile(std::move(stream), std::move(layout));
}

}  // namespace mercer::data
