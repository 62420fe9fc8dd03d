@echo off
rem Certificates that drivers are signed with: into Root and TrustedPublisher, or PnP asks a person.
setlocal
if not exist "%KSHS%\certs\*.cer" exit /b 0
for %%f in ("%KSHS%\certs\*.cer") do "%KSHSCTL%" install-cert "%%~f" || goto :failed
exit /b 0

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
