@echo off
rem SPDX-License-Identifier: Apache-2.0
rem Certificates that drivers are signed with: into Root and TrustedPublisher, or PnP asks a person.
setlocal
if not exist "%KSHS%\certs\." exit /b 0
set "CODE=0"
pushd "%KSHS%\certs"
for %%f in (*.cer) do call :install "%KSHS%\certs\%%f"
popd
exit /b %CODE%

rem After the first failure nothing more is tried.
:install
if not "%CODE%"=="0" exit /b 0
"%KSHSCTL%" install-cert %1
set "CODE=%errorlevel%"
exit /b 0
