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
# BLAS and LAPACK: by a module of their own, or those that ScaLAPACK's module brings.
pkg_search_module(MERCER_LAPACK IMPORTED_TARGET GLOBAL lapack openblas)
if(NOT MERCER_LAPACK_FOUND AND NOT TARGET PkgConfig::MERCER_LAPACK)
  add_library(PkgConfig::MERCER_LAPACK ALIAS PkgConfig::MERCER_SCALAPACK)
endif()
pkg_search_module(MERCER_BLAS IMPORTED_TARGET GLOBAL blas openblas)
if(NOT MERCER_BLAS_FOUND AND NOT TARGET PkgConfig::MERCER_BLAS)
  add_library(PkgConfig::MERCER_BLAS INTERFACE IMPORTED GLOBAL)  # LAPACK's module brings it
endif()
pkg_search_module(MERCER_ELPA REQUIRED IMPORTED_TARGET GLOBAL elpa_openmp elpa)
pkg_search_module(MERCER_HDF5 REQUIRED IMPORTED_TARGET GLOBAL hdf5-openmpi hdf5-mpi hdf5)
pkg_search_module(MERCER_MUPARSER REQUIRED IMPORTED_TARGET GLOBAL muparser)
