# Every external library, found once; the same file serves this build and, installed beside the
# exported targets, whoever links mercer::mercer.
set(MPI_CXX_SKIP_MPICXX ON)  # the removed C++ bindings
find_package(MPI REQUIRED COMPONENTS CXX)
find_package(PkgConfig REQUIRED)
find_package(ZLIB REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Threads REQUIRED)

# Debian names the libraries after the MPI, other sites do not.
pkg_search_module(MERCER_SCALAPACK REQUIRED IMPORTED_TARGET GLOBAL
  scalapack-openmpi scalapack-mpich scalapack)
pkg_search_module(MERCER_ELPA REQUIRED IMPORTED_TARGET GLOBAL elpa_openmp elpa)
pkg_search_module(MERCER_HDF5 REQUIRED IMPORTED_TARGET GLOBAL hdf5-openmpi hdf5-mpi hdf5)
pkg_search_module(MERCER_MUPARSER REQUIRED IMPORTED_TARGET GLOBAL muparser)
